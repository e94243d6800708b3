/* SPDX-License-Identifier: MIT */
/*
 * What is known of a connection after its handshake, and the peer's certificate in words. Text from
 * a certificate goes into headers and logs: what has control bytes (NUL above all) is left out.
 */
#include "codec/tls_priv.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <stdlib.h>

void tls_session_spoken(const struct tls_session *t, const char **ret_version,
                        const char **ret_cipher)
{
    CHECK_OBJ(t, TLS_SESSION_MAGIC);
    if (!t->ssl) {
        *ret_version = "TLSv1.3";
        *ret_cipher = tls_records_cipher(t->records);
        return;
    }
    const SSL_CIPHER *cipher = SSL_get_current_cipher(t->ssl);
    *ret_version = SSL_get_version(t->ssl);
    *ret_cipher = cipher ? SSL_CIPHER_standard_name(cipher) : "none";
}

void tls_session_facts(const struct tls_session *t, struct tls_facts *f)
{
    *f = (struct tls_facts){0};
    tls_session_spoken(t, &f->version, &f->cipher);
    const SSL *ssl = t->ssl;
    if (!ssl)
        return;
    const unsigned char *alpn = NULL;
    unsigned alpn_n = 0;
    SSL_get0_alpn_selected(ssl, &alpn, &alpn_n);
    *f = (struct tls_facts){
        .version = f->version,
        .cipher = f->cipher,
        .alpn = span_of(alpn, alpn_n),
        .resumed = SSL_session_reused(ssl) == 1,
        .has_certificate = SSL_get0_peer_certificate(ssl) != NULL,
    };
    f->verified = f->has_certificate && SSL_get_verify_result(ssl) == X509_V_OK &&
                  SSL_get_verify_mode(ssl) != SSL_VERIFY_NONE;
    struct span sni = {NULL, 0};
    if (!t->is_client)
        sni = span_cstr(SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name));
    if (sni.n > 0 && span_to_cstr(sni, f->sni_text, sizeof f->sni_text)) {
        ascii_lower_in_place((uint8_t *)f->sni_text, sni.n);
        f->sni = span_of(f->sni_text, sni.n);
    }
}

/* ---- subject alternative names ---- */

static char *ip_text(const ASN1_STRING *s)
{
    char text[INET6_ADDRSTRLEN];
    int n = ASN1_STRING_length(s);
    int family = n == 4 ? AF_INET : AF_INET6;
    if ((n != 4 && n != 16) || !inet_ntop(family, ASN1_STRING_get0_data(s), text, sizeof text))
        return NULL;
    return strdup(text);
}

static char *string_text(const ASN1_STRING *s)
{
    const uint8_t *p = ASN1_STRING_get0_data(s);
    size_t n = (size_t)ASN1_STRING_length(s);
    for (size_t i = 0; i < n; i++) {
        if (p[i] < 0x20 || p[i] == 0x7f)
            return NULL;
    }
    return tls_text(p, n);
}

static char *san_text(const GENERAL_NAME *san)
{
    switch (san->type) {
    case GEN_DNS: return string_text(san->d.dNSName);
    case GEN_EMAIL: return string_text(san->d.rfc822Name);
    case GEN_URI: return string_text(san->d.uniformResourceIdentifier);
    case GEN_IPADD: return ip_text(san->d.iPAddress);
    default: return NULL;
    }
}

static char *common_name_of(const X509_NAME *subject)
{
    int last = -1;
    for (int at = -1; (at = X509_NAME_get_index_by_NID(subject, NID_commonName, at)) >= 0;)
        last = at;
    if (last < 0)
        return strdup("");
    unsigned char *utf8 = NULL;
    int n =
        ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, last)));
    bool clean = n >= 0;
    for (int i = 0; i < n; i++)
        clean = clean && utf8[i] >= 0x20 && utf8[i] != 0x7f;
    char *text = tls_text(utf8, clean ? (size_t)n : 0);
    OPENSSL_free(utf8);
    return text;
}

static void read_names(struct tls_peer *p, const X509 *x)
{
    GENERAL_NAMES *sans = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
    int count = sans ? sk_GENERAL_NAME_num(sans) : 0;
    p->names = count > 0 ? calloc((size_t)count, sizeof *p->names) : NULL;
    for (int i = 0; p->names && i < count; i++) {
        char *text = san_text(sk_GENERAL_NAME_value(sans, i));
        if (text)
            p->names[p->names_count++] = text;
    }
    GENERAL_NAMES_free(sans);
}

/* ---- the peer ---- */

struct tls_peer *tls_session_peer(const struct tls_session *t)
{
    CHECK_OBJ(t, TLS_SESSION_MAGIC);
    X509 *x = t->ssl ? SSL_get0_peer_certificate(t->ssl) : NULL;
    struct tls_peer *p = x ? calloc(1, sizeof *p) : NULL;
    if (!p)
        return NULL;
    p->subject = tls_name_text(X509_get_subject_name(x));
    p->common_name = common_name_of(X509_get_subject_name(x));
    if (!p->subject || !p->common_name) {
        tls_peer_free(&p);
        return NULL;
    }
    read_names(p, x);
    tls_fingerprint(t->library, x, p->fingerprint);
    p->not_after_s = tls_time_s(X509_get0_notAfter(x));
    ERR_clear_error();
    return p;
}

void tls_peer_free(struct tls_peer **peer)
{
    struct tls_peer *p = *peer;
    if (!p)
        return;
    *peer = NULL;
    for (uint32_t i = 0; i < p->names_count; i++)
        free(p->names[i]);
    free(p->names);
    free(p->subject);
    free(p->common_name);
    free(p);
}
