/* SPDX-License-Identifier: MIT */
/*
 * The records of a TLS 1.3 connection that we serve (RFC 8446, section 5), after the handshake. It
 * takes the traffic secrets over from OpenSSL, whose session is then not needed any more: that is
 * 11 of 14 KB of a quiet connection, and half of the instructions of a small record. Records are
 * opened from where they were received straight to where the plaintext is wanted, and sealed into
 * the sink.
 *
 * What must stay true: a sequence number is used once per key; nothing of a record is handed out
 * before its tag was found good; keys change only at a record's end.
 */
#include "codec/tls_priv.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <stdlib.h>

#define HEADER_BYTES 5
#define TAG_BYTES    16
#define IV_BYTES     12
#define SECRET_MAX   48
#define RECORD_BODY  (TLS_RECORD_PLAIN_MAX + 256) /* of a ciphertext, at most */
#define EMPTY_MAX    32                           /* records in a row that bring nothing */
#define SEAL_BEFORE  (1u << 23)                   /* records under one key: AES-GCM bears 2^24.5 */
#define DIRECT_FROM  1024 /* bytes that are worth a call to OpenSSL to spare their copying */

enum content { CONTENT_ALERT = 21, CONTENT_HANDSHAKE = 22, CONTENT_DATA = 23 };

enum { ALERT_WARNING = 1, ALERT_FATAL = 2 };

/* One direction. */
struct half {
    EVP_CIPHER_CTX *cipher;
    uint64_t sequence;
    uint8_t iv[IV_BYTES];
    uint8_t secret[SECRET_MAX];
    uint8_t secret_n; /* 0: not known yet */
};

struct tls_records {
    struct half open;
    struct half seal;
    uint8_t empty_count;
    const struct tls_suite *suite;
    const char *cipher_name;
    uint32_t partial_n;
    uint8_t *partial; /* the beginning of a record, header and all; NULL while not needed */
};

/* ---- keys ---- */

/* HKDF-Expand-Label with an empty context, for no more than one block of the hash. */
static bool expand(struct tls_library *l, const struct half *h, const char *label, uint8_t *out,
                   size_t n)
{
    uint8_t info[32], block[EVP_MAX_MD_SIZE];
    struct writer w = writer_of(info, sizeof info);
    struct span name = span_cstr(label);
    w_u16be(&w, (uint16_t)n);
    w_u8(&w, (uint8_t)(6 + name.n));
    w_span(&w, span_str("tls13 "));
    w_span(&w, name);
    w_u8(&w, 0);
    w_u8(&w, 1); /* the number of the block */
    EVP_MAC_CTX *mac = h->secret_n == 32 ? l->hmac_sha256 : l->hmac_sha384;
    size_t block_n = 0;
    bool ok = EVP_MAC_init(mac, h->secret, h->secret_n, NULL) == 1 &&
              EVP_MAC_update(mac, info, w_len(&w)) == 1 &&
              EVP_MAC_final(mac, block, &block_n, sizeof block) == 1 && n <= block_n;
    if (ok)
        memcpy(out, block, n);
    OPENSSL_cleanse(block, sizeof block);
    return ok;
}

/* Key and nonce of the secret at hand. */
static bool set_keys(struct tls_library *l, const struct tls_suite *suite, struct half *h,
                     bool sealing)
{
    uint8_t key[32];
    if (!h->cipher)
        h->cipher = EVP_CIPHER_CTX_new();
    bool ok = h->cipher && expand(l, h, "key", key, suite->key_bytes) &&
              expand(l, h, "iv", h->iv, IV_BYTES) &&
              EVP_CipherInit_ex(h->cipher, suite->cipher, NULL, key, NULL, sealing) == 1;
    h->sequence = 0;
    OPENSSL_cleanse(key, sizeof key);
    return ok;
}

static bool next_keys(struct tls_library *l, const struct tls_suite *suite, struct half *h,
                      bool sealing)
{
    uint8_t secret[SECRET_MAX];
    bool ok = expand(l, h, "traffic upd", secret, h->secret_n);
    memcpy(h->secret, secret, h->secret_n);
    OPENSSL_cleanse(secret, sizeof secret);
    return ok && set_keys(l, suite, h, sealing);
}

/* ---- taking over ---- */

static bool read_hex(const char *text, uint8_t *out, size_t room, uint8_t *ret_n)
{
    size_t n = strlen(text);
    if (n % 2 || n / 2 > room)
        return false;
    for (size_t i = 0; i < n; i += 2) {
        int high = ascii_hex_value((uint8_t)text[i]), low = ascii_hex_value((uint8_t)text[i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i / 2] = (uint8_t)(high << 4 | low);
    }
    *ret_n = (uint8_t)(n / 2);
    return true;
}

/* OpenSSL tells secrets as lines of a key log: "CLIENT_TRAFFIC_SECRET_0 random secret". */
void tls_record_secret(const SSL *ssl, const char *line)
{
    struct tls_library *l = BIO_get_data(SSL_get_rbio(ssl));
    struct tls_session *t = l->current;
    bool client = strncmp(line, "CLIENT_TRAFFIC_SECRET_0 ", 24) == 0;
    bool server = strncmp(line, "SERVER_TRAFFIC_SECRET_0 ", 24) == 0;
    const char *secret = strrchr(line, ' ');
    if (!t || !(client || server) || !secret)
        return;
    SSL_CTX_set_keylog_callback(SSL_get_SSL_CTX(ssl), NULL); /* tls_session.c asks for the next */
    if (!t->records)
        t->records = calloc(1, sizeof *t->records);
    if (!t->records)
        return; /* OpenSSL goes on alone */
    struct half *h = client ? &t->records->open : &t->records->seal;
    (void)!read_hex(secret + 1, h->secret, sizeof h->secret, &h->secret_n);
}

void tls_records_free(struct tls_records **records)
{
    struct tls_records *r = *records;
    if (!r)
        return;
    *records = NULL;
    EVP_CIPHER_CTX_free(r->open.cipher);
    EVP_CIPHER_CTX_free(r->seal.cipher);
    free(r->partial);
    OPENSSL_cleanse(r, sizeof *r);
    free(r);
}

static const struct tls_suite *suite_of(const struct tls_library *l, const SSL *ssl)
{
    const SSL_CIPHER *cipher = SSL_get_current_cipher(ssl);
    uint16_t id = cipher ? SSL_CIPHER_get_protocol_id(cipher) : 0;
    for (size_t i = 0; i < ARRAY_LEN(l->suites); i++) {
        if (l->suites[i].id == id && l->suites[i].cipher)
            return &l->suites[i];
    }
    return NULL;
}

bool tls_records_begin(struct tls_session *t, uint64_t sealed)
{
    struct tls_library *l = t->library;
    struct tls_records *r = t->records;
    if (!r)
        return false;
    r->suite = SSL_version(t->ssl) == TLS1_3_VERSION ? suite_of(l, t->ssl) : NULL;
    size_t secret_n = r->suite ? r->suite->secret_bytes : SIZE_MAX;
    bool ok = r->open.secret_n == secret_n && r->seal.secret_n == secret_n &&
              set_keys(l, r->suite, &r->open, false) && set_keys(l, r->suite, &r->seal, true);
    if (!ok) {
        ERR_clear_error();
        tls_records_free(&t->records);
        return false;
    }
    r->cipher_name = SSL_CIPHER_standard_name(SSL_get_current_cipher(t->ssl));
    r->seal.sequence = sealed;
    (void)SSL_free_buffers(t->ssl);
    return true;
}

const char *tls_records_cipher(const struct tls_records *r)
{
    return r->cipher_name;
}

void tls_records_idle(struct tls_records *r)
{
    if (r->partial_n == 0) {
        free(r->partial);
        r->partial = NULL;
    }
}

/* ---- one record ---- */

static void nonce_of(const struct half *h, uint8_t nonce[IV_BYTES])
{
    memcpy(nonce, h->iv, IV_BYTES);
    for (int i = 0; i < 8; i++)
        nonce[IV_BYTES - 1 - i] ^= (uint8_t)(h->sequence >> 8 * i);
}

static bool open_one(struct half *h, const uint8_t *record, size_t n, uint8_t *out)
{
    uint8_t nonce[IV_BYTES], tag[TAG_BYTES];
    int got;
    nonce_of(h, nonce);
    memcpy(tag, record + n - TAG_BYTES, TAG_BYTES);
    size_t sealed = n - HEADER_BYTES - TAG_BYTES;
    bool ok = EVP_DecryptInit_ex(h->cipher, NULL, NULL, NULL, nonce) == 1 &&
              EVP_CIPHER_CTX_ctrl(h->cipher, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, tag) == 1 &&
              EVP_DecryptUpdate(h->cipher, NULL, &got, record, HEADER_BYTES) == 1 &&
              EVP_DecryptUpdate(h->cipher, out, &got, record + HEADER_BYTES, (int)sealed) == 1 &&
              EVP_DecryptFinal_ex(h->cipher, out + got, &got) == 1;
    h->sequence++;
    return ok;
}

/* Seals what lies in record + HEADER_BYTES, or, where `from` is not NULL, there; its kind behind.
 */
static bool seal_one(struct half *h, enum content kind, uint8_t *record, const uint8_t *from,
                     size_t n)
{
    uint8_t nonce[IV_BYTES];
    uint8_t *body = record + HEADER_BYTES;
    int got;
    size_t sealed = n + 1 + TAG_BYTES;
    const uint8_t header[HEADER_BYTES] = {CONTENT_DATA, 3, 3, (uint8_t)(sealed >> 8),
                                          (uint8_t)sealed};
    memcpy(record, header, sizeof header);
    body[n] = (uint8_t)kind;
    nonce_of(h, nonce);
    bool ok = EVP_EncryptInit_ex(h->cipher, NULL, NULL, NULL, nonce) == 1 &&
              EVP_EncryptUpdate(h->cipher, NULL, &got, record, HEADER_BYTES) == 1;
    if (from) {
        ok = ok && EVP_EncryptUpdate(h->cipher, body, &got, from, (int)n) == 1 &&
             EVP_EncryptUpdate(h->cipher, body + n, &got, body + n, 1) == 1;
    } else {
        ok = ok && EVP_EncryptUpdate(h->cipher, body, &got, body, (int)n + 1) == 1;
    }
    ok = ok && EVP_EncryptFinal_ex(h->cipher, body + n + 1, &got) == 1 &&
         EVP_CIPHER_CTX_ctrl(h->cipher, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, body + n + 1) == 1;
    h->sequence++;
    return ok;
}

/* ---- output ---- */

/* Room for a record of n bytes in one piece, or NULL. */
static uint8_t *record_room(struct tls_sink *sink, size_t n)
{
    size_t wanted = HEADER_BYTES + n + 1 + TAG_BYTES;
    if ((size_t)(sink->end - sink->at) < wanted && !sink->grow(sink, wanted))
        return NULL;
    return sink->at;
}

static int put_record(struct tls_records *r, enum content kind, uint8_t *record,
                      const uint8_t *from, size_t n, struct tls_sink *sink)
{
    if (!seal_one(&r->seal, kind, record, from, n)) {
        ERR_clear_error();
        return -(int)REASON_system_error;
    }
    sink->at += HEADER_BYTES + n + 1 + TAG_BYTES;
    return 0;
}

static int put_message(struct tls_records *r, enum content kind, struct span message,
                       struct tls_sink *sink)
{
    uint8_t *record = record_room(sink, message.n);
    if (!record)
        return -(int)REASON_overload;
    memcpy(record + HEADER_BYTES, message.p, message.n);
    return put_record(r, kind, record, NULL, message.n, sink);
}

static int put_key_update(struct tls_session *t, struct tls_sink *sink)
{
    struct tls_records *r = t->records;
    int rc = put_message(r, CONTENT_HANDSHAKE, span_str("\x18\x00\x00\x01\x00"), sink);
    if (rc == 0 && !next_keys(t->library, r->suite, &r->seal, true))
        rc = -(int)REASON_system_error;
    return rc;
}

/* Moves *at and *skip over n bytes of the pieces, copying them. */
static void gather(const struct span **at, size_t *skip, uint8_t *out, size_t n)
{
    while (n > 0) {
        size_t part = MIN(n, (*at)->n - *skip);
        memcpy(out, (*at)->p + *skip, part);
        out += part;
        n -= part;
        *skip += part;
        if (*skip == (*at)->n) {
            ++*at;
            *skip = 0;
        }
    }
}

int tls_records_output(struct tls_session *t, const struct span *pieces, size_t count,
                       struct tls_sink *sink)
{
    struct tls_records *r = t->records;
    size_t left = 0, skip = 0;
    int rc = 0;
    for (size_t i = 0; i < count; i++)
        left += pieces[i].n;
    if (UNLIKELY(r->seal.sequence >= SEAL_BEFORE))
        rc = put_key_update(t, sink);
    while (rc == 0 && left > 0) {
        size_t n = MIN(left, (size_t)TLS_RECORD_PLAIN_MAX);
        uint8_t *record = record_room(sink, n);
        if (!record)
            return -(int)REASON_overload;
        const uint8_t *from = NULL;
        if (n >= DIRECT_FROM && pieces->n - skip >= n) {
            from = pieces->p + skip;
            skip += n;
            if (skip == pieces->n) {
                pieces++;
                skip = 0;
            }
        } else {
            gather(&pieces, &skip, record + HEADER_BYTES, n);
        }
        rc = put_record(r, CONTENT_DATA, record, from, n, sink);
        left -= n;
    }
    return rc;
}

int tls_records_end(struct tls_session *t, struct tls_sink *sink)
{
    return put_message(t->records, CONTENT_ALERT, span_str("\x01\x00"), sink);
}

/* ---- input ---- */

/* The peer did what it must not: it is told, and nothing more is taken from it. */
static int refuse(struct tls_session *t, uint8_t alert, const char *why, struct tls_sink *sink)
{
    const uint8_t message[2] = {ALERT_FATAL, alert};
    ERR_clear_error();
    t->why = why;
    t->alert = alert;
    t->alert_is_ours = true;
    (void)!put_message(t->records, CONTENT_ALERT, span_of(message, sizeof message), sink);
    return -(int)REASON_tls_bad_record;
}

static int take_alert(struct tls_session *t, struct span body, struct tls_sink *sink)
{
    if (body.n != 2)
        return refuse(t, SSL_AD_DECODE_ERROR, "an alert of the wrong size", sink);
    if (body.p[1] == SSL_AD_CLOSE_NOTIFY) {
        t->closed = true;
        return TLS_CLOSED;
    }
    if (body.p[1] == SSL_AD_USER_CANCELLED)
        return TLS_NEED_MORE; /* close_notify follows */
    t->alert = body.p[1];
    t->why = SSL_alert_desc_string_long(t->alert);
    return -(int)REASON_tls_alert;
}

/* The only message that a client may send now is KeyUpdate. */
static int take_message(struct tls_session *t, struct span body, struct tls_sink *sink)
{
    struct tls_records *r = t->records;
    if (body.n != 5 || !span_starts(body, span_str("\x18\x00\x00\x01")))
        return refuse(t, SSL_AD_UNEXPECTED_MESSAGE, "an unexpected handshake message", sink);
    if (body.p[4] > 1)
        return refuse(t, SSL_AD_ILLEGAL_PARAMETER, "a malformed key update", sink);
    if (!next_keys(t->library, r->suite, &r->open, false))
        return -(int)REASON_system_error;
    if (body.p[4] == 1 && !t->ended)
        return put_key_update(t, sink);
    return TLS_NEED_MORE;
}

static int take_other(struct tls_session *t, uint8_t kind, struct span body, struct tls_sink *sink)
{
    if (++t->messages > TLS_MESSAGES_MAX) {
        (void)refuse(t, SSL_AD_UNEXPECTED_MESSAGE, "too many messages after the handshake", sink);
        return -(int)REASON_tls_handshake_failed;
    }
    switch (kind) {
    case CONTENT_ALERT: return take_alert(t, body, sink);
    case CONTENT_HANDSHAKE: return take_message(t, body, sink);
    default: return refuse(t, SSL_AD_UNEXPECTED_MESSAGE, "an unexpected kind of record", sink);
    }
}

/* An opened record: its content, its kind, and zeroes that only pad it. */
static int take_record(struct tls_session *t, uint8_t *plain, size_t n, size_t *ret_n,
                       struct tls_sink *sink)
{
    struct tls_records *r = t->records;
    while (n > 0 && plain[n - 1] == 0)
        n--;
    if (UNLIKELY(n == 0))
        return refuse(t, SSL_AD_UNEXPECTED_MESSAGE, "a record without a kind", sink);
    uint8_t kind = plain[--n];
    if (UNLIKELY(n > TLS_RECORD_PLAIN_MAX))
        return refuse(t, SSL_AD_RECORD_OVERFLOW, "a record that is too long", sink);
    if (UNLIKELY(kind != CONTENT_DATA))
        return take_other(t, kind, span_of(plain, n), sink);
    if (UNLIKELY(n == 0 && ++r->empty_count > EMPTY_MAX))
        return refuse(t, SSL_AD_UNEXPECTED_MESSAGE, "too many empty records", sink);
    if (LIKELY(n > 0))
        r->empty_count = 0;
    *ret_n += n;
    return TLS_NEED_MORE;
}

/* Length of the record that begins here, or 0: not even its header is whole. */
static size_t record_bytes(const uint8_t *p, size_t n)
{
    return n < HEADER_BYTES ? 0 : HEADER_BYTES + (size_t)(p[3] << 8 | p[4]);
}

/* Adds to the record that came in part until it is whole or the input used up. False: no memory. */
static bool add_partial(struct tls_session *t, struct tls_library *l)
{
    struct tls_records *r = t->records;
    if (!r->partial) {
        r->partial = malloc(HEADER_BYTES + RECORD_BODY);
        t->warm = true;
    }
    while (r->partial && l->in.n > 0) {
        size_t whole = record_bytes(r->partial, r->partial_n);
        size_t wanted = MIN(whole ? whole : HEADER_BYTES, (size_t)HEADER_BYTES + RECORD_BODY);
        size_t n = MIN(wanted - r->partial_n, l->in.n);
        if (n == 0)
            break;
        memcpy(r->partial + r->partial_n, l->in.p, n);
        r->partial_n += (uint32_t)n;
        l->in = span_from(l->in, n);
    }
    return r->partial != NULL;
}

int tls_records_input(struct tls_session *t, struct tls_library *l, uint8_t *room,
                      size_t room_bytes, size_t *ret_n)
{
    struct tls_records *r = t->records;
    CHECK(room_bytes >= TLS_INPUT_ROOM_MIN);
    for (;;) {
        bool kept = r->partial_n > 0;
        if (UNLIKELY(kept) && !add_partial(t, l))
            return -(int)REASON_overload;
        const uint8_t *record = kept ? r->partial : l->in.p;
        size_t have = kept ? r->partial_n : l->in.n;
        size_t n = record_bytes(record, have);
        if (n > 0 && (record[0] != CONTENT_DATA || n > HEADER_BYTES + RECORD_BODY ||
                      n < HEADER_BYTES + 1 + TAG_BYTES))
            return refuse(t,
                          n > HEADER_BYTES + RECORD_BODY ? SSL_AD_RECORD_OVERFLOW
                                                         : SSL_AD_UNEXPECTED_MESSAGE,
                          "a malformed record", l->sink);
        if (n == 0 || have < n) {
            if (have == 0 || kept)
                return TLS_NEED_MORE;
            if (!add_partial(t, l))
                return -(int)REASON_overload;
            continue;
        }
        size_t plain = n - HEADER_BYTES - TAG_BYTES;
        if (room_bytes - *ret_n < plain)
            return TLS_ROOM_FULL;
        bool good = open_one(&r->open, record, n, room + *ret_n);
        if (kept)
            r->partial_n = 0;
        else
            l->in = span_from(l->in, n);
        if (UNLIKELY(!good))
            return refuse(t, SSL_AD_BAD_RECORD_MAC, "a record that does not fit its tag", l->sink);
        int rc = take_record(t, room + *ret_n, plain, ret_n, l->sink);
        if (UNLIKELY(rc != TLS_NEED_MORE))
            return rc;
    }
}
