/* SPDX-License-Identifier: MIT */
/*
 * What the operator gives, from PEM and DER to OpenSSL's objects, with a plain sentence for all
 * that can be wrong with it. Nothing here runs while traffic waits for it.
 */
#include "codec/tls_priv.h"

#include <openssl/decoder.h>
#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/sslerr.h>
#include <stdlib.h>

/* ---- PEM ---- */

BIO *tls_bio_of(struct span bytes)
{
    return BIO_new_mem_buf(bytes.p ? (const void *)bytes.p : "",
                           (int)MIN(bytes.n, (size_t)INT32_MAX));
}

/* The next certificate; NULL with *ret_broken when there is one that cannot be read. */
static X509 *next_certificate(struct tls_library *l, BIO *bio, bool *ret_broken)
{
    X509 *x = X509_new_ex(l->ossl, NULL);
    *ret_broken = false;
    if (x && PEM_read_bio_X509(bio, &x, NULL, NULL))
        return x;
    *ret_broken = ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE;
    ERR_clear_error();
    X509_free(x);
    return NULL;
}

static int read_chain(struct tls_library *l, struct span pem, struct tls_parsed *p,
                      char why[TLS_WHY_MAX])
{
    BIO *bio = tls_bio_of(pem);
    p->chain = sk_X509_new_null();
    bool broken = false;
    for (X509 *x; bio && p->chain && (x = next_certificate(l, bio, &broken));) {
        if (!p->leaf)
            p->leaf = x;
        else if (sk_X509_push(p->chain, x) <= 0)
            X509_free(x);
    }
    BIO_free(bio);
    if (broken)
        return tls_why(why, "number %d of its certificates cannot be read",
                       p->leaf ? sk_X509_num(p->chain) + 2 : 1);
    if (!p->leaf)
        return tls_why(why, "there is no certificate in it (PEM is wanted)");
    return 0;
}

/* There is nobody to ask. */
static int no_pass_phrase(char *buf, int size, int rwflag, void *asked)
{
    (void)buf;
    (void)size;
    (void)rwflag;
    *(bool *)asked = true;
    return -1;
}

/* A decoder of any kind of key takes OpenSSL three times as long as one of the kind that the
 * certificate is for. NULL when the first key is not of that kind, or in another form than PKCS #8.
 */
static EVP_PKEY *read_own_kind(struct tls_library *l, BIO *bio, const X509 *leaf, bool *asked)
{
    const EVP_PKEY *wanted = X509_get0_pubkey(leaf);
    const char *kind = wanted ? EVP_PKEY_get0_type_name(wanted) : NULL;
    char *form = NULL;
    uint8_t *der = NULL;
    long n = 0;
    EVP_PKEY *key = NULL;
    if (!kind ||
        PEM_bytes_read_bio(&der, &n, &form, PEM_STRING_EVP_PKEY, bio, no_pass_phrase, asked) != 1)
        return NULL;
    OSSL_DECODER_CTX *decoder = NULL;
    if (strcmp(form, PEM_STRING_PKCS8INF) == 0)
        decoder = OSSL_DECODER_CTX_new_for_pkey(&key, "DER", "PrivateKeyInfo", kind,
                                                EVP_PKEY_KEYPAIR, l->ossl, NULL);
    const uint8_t *at = der;
    size_t left = (size_t)n;
    if (decoder)
        (void)!OSSL_DECODER_from_data(decoder, &at, &left);
    OSSL_DECODER_CTX_free(decoder);
    OPENSSL_free(form);
    OPENSSL_clear_free(der, (size_t)n);
    return key;
}

static int read_key(struct tls_library *l, struct span pem, struct tls_parsed *p,
                    char why[TLS_WHY_MAX])
{
    bool asked = false;
    BIO *bio = tls_bio_of(pem);
    if (bio)
        p->key = read_own_kind(l, bio, p->leaf, &asked);
    if (bio && !p->key && !asked && BIO_reset(bio) == 1)
        p->key = PEM_read_bio_PrivateKey_ex(bio, NULL, no_pass_phrase, &asked, l->ossl, NULL);
    BIO_free(bio);
    if (asked)
        return tls_why(why, "the private key needs a pass phrase, which nobody can give");
    if (!p->key && span_find_span(pem, span_str("PRIVATE KEY-----")) == SPAN_NOT_FOUND)
        return tls_why(why, "there is no private key in it (PEM is wanted)");
    if (!p->key)
        return tls_why(why, "the private key cannot be read");
    if (X509_check_private_key(p->leaf, p->key) != 1)
        return tls_why(why, "the private key does not belong to the certificate");
    return 0;
}

/* ---- names ---- */

/* Letters, digits, hyphens, underscores and dots; perhaps a star as the first label. */
static bool is_host_name(struct span s)
{
    if (span_starts(s, span_str("*.")))
        s = span_from(s, 2);
    if (s.n == 0 || s.n > TLS_NAME_MAX || s.p[0] == '.')
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if (!ascii_is_alnum(s.p[i]) && s.p[i] != '-' && s.p[i] != '_' && s.p[i] != '.')
            return false;
    }
    return true;
}

static bool add_name(struct tls_parsed *p, struct span name)
{
    char **names = realloc(p->names, (p->names_count + 1) * sizeof *names);
    if (!names)
        return false;
    p->names = names;
    char *text = malloc(name.n + 1);
    if (!text)
        return false;
    memcpy(text, name.p, name.n);
    text[name.n] = 0;
    ascii_lower_in_place((uint8_t *)text, name.n);
    names[p->names_count++] = text;
    return true;
}

static struct span string_span(const ASN1_STRING *s)
{
    return span_of(ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s));
}

static bool add_own_names(struct tls_parsed *p)
{
    GENERAL_NAMES *sans = X509_get_ext_d2i(p->leaf, NID_subject_alt_name, NULL, NULL);
    bool ok = true, any = false;
    for (int i = 0; ok && sans && i < sk_GENERAL_NAME_num(sans); i++) {
        const GENERAL_NAME *san = sk_GENERAL_NAME_value(sans, i);
        if (san->type != GEN_DNS)
            continue;
        any = true;
        struct span name = string_span(san->d.dNSName);
        if (is_host_name(name))
            ok = add_name(p, name);
    }
    GENERAL_NAMES_free(sans);
    const X509_NAME *subject = X509_get_subject_name(p->leaf);
    int at = any ? -1 : X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    if (ok && at >= 0) {
        struct span name = string_span(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
        if (is_host_name(name))
            ok = add_name(p, name);
    }
    return ok;
}

static int read_names(const struct tls_certificate *c, struct tls_parsed *p, char why[TLS_WHY_MAX])
{
    bool ok = c->names_count > 0 || add_own_names(p);
    for (uint32_t i = 0; ok && i < c->names_count; i++) {
        if (!is_host_name(c->names[i]))
            return tls_why(why, "\"" SPAN_FMT "\" is no host name", SPAN_ARG(c->names[i]));
        ok = add_name(p, c->names[i]);
    }
    return ok ? 0 : tls_why(why, "there is no memory for its names");
}

/* ---- the stapled response ---- */

int64_t tls_time_s(const ASN1_TIME *time)
{
    struct tm tm;
    if (!time || ASN1_TIME_to_tm(time, &tm) != 1)
        return 0;
    return (int64_t)timegm(&tm);
}

/* What a response says of our certificate: its number is enough to tell it from others. */
static OCSP_SINGLERESP *single_of(OCSP_BASICRESP *basic, const X509 *leaf)
{
    const ASN1_INTEGER *ours = X509_get0_serialNumber(leaf);
    for (int i = 0; i < OCSP_resp_count(basic); i++) {
        OCSP_SINGLERESP *single = OCSP_resp_get0(basic, i);
        ASN1_INTEGER *serial = NULL;
        OCSP_CERTID *id = (OCSP_CERTID *)(uintptr_t)OCSP_SINGLERESP_get0_id(single);
        if (OCSP_id_get0_info(NULL, NULL, NULL, &serial, id) == 1 &&
            ASN1_INTEGER_cmp(serial, ours) == 0)
            return single;
    }
    return NULL;
}

static int check_staple(struct span der, struct tls_parsed *p, char why[TLS_WHY_MAX])
{
    const uint8_t *at = der.p;
    int rc = 0;
    OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &at, (long)der.n);
    OCSP_BASICRESP *basic = response ? OCSP_response_get1_basic(response) : NULL;
    OCSP_SINGLERESP *single = basic ? single_of(basic, p->leaf) : NULL;
    if (!response || at != der.p + der.n) {
        rc = tls_why(why, "the OCSP response cannot be read (DER is wanted)");
    } else if (OCSP_response_status(response) != OCSP_RESPONSE_STATUS_SUCCESSFUL || !basic) {
        rc = tls_why(why, "the OCSP response is none of success");
    } else if (!single) {
        rc = tls_why(why, "the OCSP response is about another certificate");
    } else {
        ASN1_GENERALIZEDTIME *next = NULL;
        (void)OCSP_single_get0_status(single, NULL, NULL, NULL, &next);
        p->staple_until_s = tls_time_s(next);
    }
    OCSP_BASICRESP_free(basic);
    OCSP_RESPONSE_free(response);
    return rc;
}

static int read_staple(struct span der, struct tls_parsed *p, char why[TLS_WHY_MAX])
{
    if (der.n == 0)
        return 0;
    int rc = check_staple(der, p, why);
    if (rc < 0)
        return rc;
    uint8_t *copy = malloc(der.n);
    if (!copy)
        return tls_why(why, "there is no memory for its OCSP response");
    memcpy(copy, der.p, der.n);
    p->staple = span_of(copy, der.n);
    return 0;
}

/* ---- a certificate ---- */

void tls_parsed_fini(struct tls_parsed *p)
{
    X509_free(p->leaf);
    sk_X509_pop_free(p->chain, X509_free);
    EVP_PKEY_free(p->key);
    for (uint32_t i = 0; i < p->names_count; i++)
        free(p->names[i]);
    free(p->names);
    free((void *)(uintptr_t)p->staple.p);
    *p = (struct tls_parsed){0};
}

int tls_parse(struct tls_library *l, const struct tls_certificate *c, struct tls_parsed *ret_parsed,
              char why[TLS_WHY_MAX])
{
    struct tls_parsed p = {0};
    int rc = read_chain(l, c->chain_pem, &p, why);
    if (rc == 0)
        rc = read_key(l, c->key_pem.n > 0 ? c->key_pem : c->chain_pem, &p, why);
    if (rc == 0)
        rc = read_names(c, &p, why);
    if (rc == 0)
        rc = read_staple(c->ocsp_der, &p, why);
    ERR_clear_error();
    if (rc < 0) {
        tls_parsed_fini(&p);
        return rc;
    }
    *ret_parsed = p;
    return 0;
}

int tls_context_use(SSL_CTX *context, const struct tls_parsed *p, char why[TLS_WHY_MAX])
{
    if (SSL_CTX_use_cert_and_key(context, p->leaf, p->key, p->chain, 1) == 1)
        return 0;
    switch (ERR_GET_REASON(ERR_peek_error())) {
    case SSL_R_EE_KEY_TOO_SMALL:
        return tls_why(why, "its key of %d bits is too short to be safe",
                       EVP_PKEY_get_bits(p->key));
    case SSL_R_CA_KEY_TOO_SMALL:
        return tls_why(why, "a certificate of its chain has a key too short to be safe");
    case SSL_R_CA_MD_TOO_WEAK:
        return tls_why(why, "its chain is signed with a digest too weak to be safe");
    default: return tls_why(why, "it cannot be used: %s", tls_error_take());
    }
}

/* ---- describing ---- */

char *tls_text(const void *bytes, size_t n)
{
    char *text = malloc(n + 1);
    if (!text)
        return NULL;
    if (n > 0)
        memcpy(text, bytes, n);
    text[n] = 0;
    return text;
}

char *tls_name_text(const X509_NAME *name)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL, *bytes = NULL;
    unsigned long flags = XN_FLAG_RFC2253 & ~(unsigned long)ASN1_STRFLGS_ESC_MSB;
    if (bio && X509_NAME_print_ex(bio, name, 0, flags) >= 0) {
        long n = BIO_get_mem_data(bio, &bytes);
        text = tls_text(bytes, n > 0 ? (size_t)n : 0);
    }
    BIO_free(bio);
    return text;
}

void tls_fingerprint(struct tls_library *l, const X509 *x, char ret_text[65])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char digest[EVP_MAX_MD_SIZE] = {0};
    if (X509_digest(x, l->sha256, digest, NULL) != 1)
        ERR_clear_error();
    for (int i = 0; i < 32; i++) {
        ret_text[2 * i] = digits[digest[i] >> 4];
        ret_text[2 * i + 1] = digits[digest[i] & 15];
    }
    ret_text[64] = 0;
}

static int64_t earliest_end_s(const struct tls_parsed *p)
{
    int64_t end_s = tls_time_s(X509_get0_notAfter(p->leaf));
    for (int i = 0; i < sk_X509_num(p->chain); i++)
        end_s = MIN(end_s, tls_time_s(X509_get0_notAfter(sk_X509_value(p->chain, i))));
    return end_s;
}

static const char *key_type_name(const EVP_PKEY *key)
{
    switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_RSA: return "RSA";
    case EVP_PKEY_RSA_PSS: return "RSA-PSS";
    case EVP_PKEY_EC: return "ECDSA";
    case EVP_PKEY_ED25519: return "Ed25519";
    case EVP_PKEY_ED448: return "Ed448";
    default: return "other";
    }
}

/* Whether OpenSSL would serve it: short keys and weak digests are found out here. */
static int try_out(struct tls_library *l, const struct tls_parsed *p, char why[TLS_WHY_MAX])
{
    SSL_CTX *context = SSL_CTX_new_ex(l->ossl, NULL, TLS_server_method());
    if (!context || !tls_context_prepare(context)) {
        SSL_CTX_free(context);
        return tls_why(why, "OpenSSL refuses: %s", tls_error_take());
    }
    int rc = tls_context_use(context, p, why);
    SSL_CTX_free(context);
    return rc;
}

int tls_certificate_describe(struct tls_library *l, const struct tls_certificate *c,
                             struct tls_certificate_facts **ret_facts, char why[TLS_WHY_MAX])
{
    struct tls_parsed p = {0};
    int rc = tls_parse(l, c, &p, why);
    if (rc == 0)
        rc = try_out(l, &p, why);
    if (rc < 0) {
        tls_parsed_fini(&p);
        return rc;
    }
    struct tls_certificate_facts *f = calloc(1, sizeof *f);
    if (f) {
        f->subject = tls_name_text(X509_get_subject_name(p.leaf));
        f->issuer = tls_name_text(X509_get_issuer_name(p.leaf));
        f->not_before_s = tls_time_s(X509_get0_notBefore(p.leaf));
        f->not_after_s = earliest_end_s(&p);
        f->ocsp_until_s = p.staple_until_s;
        f->key_type = key_type_name(p.key);
        f->key_bits = (uint32_t)EVP_PKEY_get_bits(p.key);
        tls_fingerprint(l, p.leaf, f->fingerprint);
        f->names = p.names;
        f->names_count = p.names_count;
        p.names = NULL;
        p.names_count = 0;
    }
    tls_parsed_fini(&p);
    if (!f || !f->subject || !f->issuer) {
        tls_certificate_facts_free(&f);
        return tls_why(why, "there is no memory to describe it");
    }
    *ret_facts = f;
    return 0;
}

void tls_certificate_facts_free(struct tls_certificate_facts **facts)
{
    struct tls_certificate_facts *f = *facts;
    if (!f)
        return;
    *facts = NULL;
    for (uint32_t i = 0; i < f->names_count; i++)
        free(f->names[i]);
    free(f->names);
    free(f->subject);
    free(f->issuer);
    free(f);
}
