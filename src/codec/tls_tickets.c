/* SPDX-License-Identifier: MIT */
/*
 * Ticket keys that all workers read and one thread replaces, by a sequence lock: `version` is odd
 * while the words are being written, and who read them while it was, or while it changed, reads
 * again. All words are atomic, so a torn read is seen and not undefined.
 */
#include "codec/tls_priv.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdlib.h>

#define KEYS_BYTES (sizeof(struct tls_ticket_key) * TLS_TICKET_KEYS)
#define KEYS_WORDS (KEYS_BYTES / sizeof(uint64_t))

static_assert(KEYS_BYTES % sizeof(uint64_t) == 0, "whole words");

struct tls_tickets {
    atomic_uint version;
    _Atomic uint64_t words[KEYS_WORDS];
};

int tls_tickets_new(struct tls_tickets **ret_tickets)
{
    struct tls_ticket_key keys[TLS_TICKET_KEYS];
    struct tls_tickets *t = calloc(1, sizeof *t);
    if (!t)
        return -(int)REASON_overload;
    if (RAND_bytes((unsigned char *)keys, sizeof keys) != 1) {
        free(t);
        return -(int)REASON_system_error;
    }
    tls_tickets_set(t, keys);
    OPENSSL_cleanse(keys, sizeof keys);
    *ret_tickets = t;
    return 0;
}

void tls_tickets_free(struct tls_tickets **tickets)
{
    if (!*tickets)
        return;
    OPENSSL_cleanse(*tickets, sizeof **tickets);
    free(*tickets);
    *tickets = NULL;
}

void tls_tickets_get(const struct tls_tickets *t, struct tls_ticket_key ret_keys[TLS_TICKET_KEYS])
{
    uint64_t words[KEYS_WORDS] = {0};
    unsigned before, after;
    do {
        before = atomic_load_explicit(&t->version, memory_order_acquire);
        for (size_t i = 0; i < KEYS_WORDS; i++)
            words[i] = atomic_load_explicit(&t->words[i], memory_order_acquire);
        after = atomic_load_explicit(&t->version, memory_order_relaxed);
    } while (UNLIKELY(before != after || before & 1));
    memcpy(ret_keys, words, sizeof words);
    OPENSSL_cleanse(words, sizeof words);
}

void tls_tickets_set(struct tls_tickets *t, const struct tls_ticket_key keys[TLS_TICKET_KEYS])
{
    uint64_t words[KEYS_WORDS];
    memcpy(words, keys, sizeof words);
    unsigned version = atomic_load_explicit(&t->version, memory_order_relaxed);
    atomic_store_explicit(&t->version, version + 1, memory_order_relaxed);
    for (size_t i = 0; i < KEYS_WORDS; i++)
        atomic_store_explicit(&t->words[i], words[i], memory_order_release);
    atomic_store_explicit(&t->version, version + 2, memory_order_release);
    OPENSSL_cleanse(words, sizeof words);
}

int tls_tickets_rotate(struct tls_tickets *tickets)
{
    struct tls_ticket_key keys[TLS_TICKET_KEYS];
    tls_tickets_get(tickets, keys);
    keys[TLS_TICKET_PREVIOUS] = keys[TLS_TICKET_CURRENT];
    keys[TLS_TICKET_CURRENT] = keys[TLS_TICKET_NEXT];
    struct tls_ticket_key *fresh = &keys[TLS_TICKET_NEXT];
    bool ok = RAND_bytes((unsigned char *)fresh, sizeof *fresh) == 1;
    if (ok)
        tls_tickets_set(tickets, keys);
    OPENSSL_cleanse(keys, sizeof keys);
    return ok ? 0 : -(int)REASON_system_error;
}

/* ---- OpenSSL's side ---- */

/* Which key a ticket is sealed with, or none. */
static const struct tls_ticket_key *key_named(const struct tls_ticket_key *keys,
                                              const unsigned char *name)
{
    for (int i = 0; i < TLS_TICKET_KEYS; i++) {
        if (memcmp(keys[i].name, name, sizeof keys[i].name) == 0)
            return &keys[i];
    }
    return NULL;
}

static bool set_mac(EVP_MAC_CTX *mac, const struct tls_ticket_key *key)
{
    uint8_t secret[sizeof key->mac];
    char digest[] = "SHA256";
    memcpy(secret, key->mac, sizeof secret);
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, secret, sizeof secret),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    bool ok = EVP_MAC_CTX_set_params(mac, params) == 1;
    OPENSSL_cleanse(secret, sizeof secret);
    return ok;
}

/* As SSL_CTX_set_tlsext_ticket_key_evp_cb(3) asks: -1 failed, 0 no ticket, 1 done, 2 done and the
 * client should get another one. */
int tls_ticket_seal(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                    EVP_MAC_CTX *mac, int sealing)
{
    struct tls_server *server = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    CHECK_OBJ(server, TLS_SERVER_MAGIC);
    struct tls_library *l = server->library;
    struct tls_ticket_key keys[TLS_TICKET_KEYS];
    tls_tickets_get(server->tickets, keys);
    const struct tls_ticket_key *key = &keys[TLS_TICKET_CURRENT];
    int result = -1;
    if (sealing) {
        memcpy(name, key->name, sizeof key->name);
        if (RAND_bytes_ex(l->ossl, iv, EVP_MAX_IV_LENGTH, 0) == 1 &&
            EVP_EncryptInit_ex(cipher, l->ticket_cipher, NULL, key->cipher, iv) == 1 &&
            set_mac(mac, key))
            result = 1;
    } else {
        const struct tls_ticket_key *sealed_with = key_named(keys, name);
        if (!sealed_with)
            result = 0;
        else if (EVP_DecryptInit_ex(cipher, l->ticket_cipher, NULL, sealed_with->cipher, iv) == 1 &&
                 set_mac(mac, sealed_with))
            result = sealed_with == key ? 1 : 2;
    }
    OPENSSL_cleanse(keys, sizeof keys);
    return result;
}
