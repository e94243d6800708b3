/* SPDX-License-Identifier: MIT */
/*
 * A listener's TLS. Certificates that serve a name together (one of each kind of key) are a set,
 * and a set is an SSL_CTX; names lead to sets. A session begins with the default set, and the
 * ClientHello takes it to that of the name it asks for, before anything else of it is looked at.
 *
 * What must stay true: every context has the same session id context, so that a ticket is good for
 * this listener under these rules for clients alone, and a ticket is refused under another name
 * than the one it was given for.
 */
#include "codec/tls_priv.h"

#include <openssl/err.h>
#include <stdlib.h>

/* ---- names ---- */

static int compare_rows(const void *a, const void *b)
{
    const struct tls_name_row *x = a, *y = b;
    return strcmp(x->text, y->text);
}

/* The set of exactly this name (or ".rest" of a wildcard), or UINT32_MAX. */
static uint32_t row_of(const struct tls_server *s, const char *text)
{
    const struct tls_name_row key = {.text = (char *)(uintptr_t)text};
    const struct tls_name_row *row =
        s->names_count ? bsearch(&key, s->names, s->names_count, sizeof key, compare_rows) : NULL;
    return row ? row->set : UINT32_MAX;
}

static const struct tls_set *set_of(const struct tls_server *s, struct span name)
{
    char text[TLS_NAME_MAX + 1];
    if (s->sets_count == 1 || !span_to_cstr(name, text, sizeof text) || text[0] == '.')
        return &s->sets[0];
    ascii_lower_in_place((uint8_t *)text, name.n);
    uint32_t set = row_of(s, text);
    const char *dot = strchr(text, '.');
    if (set == UINT32_MAX && dot)
        set = row_of(s, dot);
    return &s->sets[set == UINT32_MAX ? 0 : set];
}

/* ---- the name in a ClientHello (RFC 6066, section 3) ---- */

#define NAME_TYPE_HOST 0

static bool is_name_byte(uint8_t c)
{
    return ascii_is_alnum(c) || c == '-' || c == '.' || c == '_' || c == ':';
}

static bool name_in(struct span extension, struct span *ret_name)
{
    struct reader r = reader_of(extension);
    uint16_t list_bytes = r_u16be(&r);
    uint8_t type = r_u8(&r);
    struct span name = r_bytes(&r, r_u16be(&r));
    /* A list of one: there is only one type. */
    if (!r_ok(&r) || list_bytes != extension.n - 2 || type != NAME_TYPE_HOST || r_left(&r) != 0)
        return false;
    if (name.n == 0 || name.n > TLS_NAME_MAX)
        return false;
    for (size_t i = 0; i < name.n; i++) {
        if (!is_name_byte(name.p[i]))
            return false;
    }
    *ret_name = name;
    return true;
}

/* ---- OpenSSL's callbacks ---- */

static int on_hello(SSL *ssl, int *alert, void *argument)
{
    struct tls_server *s = argument;
    CHECK_OBJ(s, TLS_SERVER_MAGIC);
    struct tls_library *l = s->library;
    const unsigned char *p = NULL;
    size_t n = 0;
    l->name = (struct span){NULL, 0};
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &p, &n) == 1 &&
        !name_in(span_of(p, n), &l->name)) {
        *alert = SSL_AD_DECODE_ERROR;
        return SSL_CLIENT_HELLO_ERROR;
    }
    SSL_CTX *context = set_of(s, l->name)->context;
    if (context != SSL_get_SSL_CTX(ssl) && !SSL_set_SSL_CTX(ssl, context)) {
        *alert = SSL_AD_INTERNAL_ERROR;
        return SSL_CLIENT_HELLO_ERROR;
    }
    l->current->hello = true;
    return SSL_CLIENT_HELLO_SUCCESS;
}

/* The choice was made by on_hello; this makes the name part of the session. */
static int on_name(SSL *ssl, int *alert, void *argument)
{
    (void)alert;
    (void)argument;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    return name ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_n,
                   const unsigned char *in, unsigned int in_n, void *argument)
{
    (void)ssl;
    static const struct span protocols[] = {SPAN_INIT("h2"), SPAN_INIT("http/1.1")};
    static const uint32_t bits[] = {TLS_ALPN_H2, TLS_ALPN_HTTP1};
    const struct tls_server *s = argument;
    for (size_t i = 0; i < ARRAY_LEN(protocols); i++) {
        struct reader r = reader_of(span_of(in, in_n));
        while (s->alpn & bits[i] && r_left(&r) > 0) {
            struct span offered = r_bytes(&r, r_u8(&r));
            if (span_eq(offered, protocols[i])) {
                *out = offered.p;
                *out_n = (unsigned char)offered.n;
                return SSL_TLSEXT_ERR_OK;
            }
        }
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static int on_status(SSL *ssl, void *argument)
{
    const struct tls_server *s = argument;
    const X509 *chosen = SSL_get_certificate(ssl);
    for (uint32_t i = 0; i < s->staples_count; i++) {
        const struct tls_staple *staple = &s->staples[i];
        if (X509_cmp(staple->leaf, chosen) != 0)
            continue;
        void *copy = OPENSSL_memdup(staple->der, staple->n);
        if (copy && SSL_set_tlsext_status_ocsp_resp(ssl, copy, (long)staple->n) == 1)
            return SSL_TLSEXT_ERR_OK;
        OPENSSL_free(copy);
        return SSL_TLSEXT_ERR_NOACK;
    }
    return SSL_TLSEXT_ERR_NOACK;
}

/* A ticket that opens: still only under the name it was given for. */
static SSL_TICKET_RETURN on_ticket(SSL *ssl, SSL_SESSION *session, const unsigned char *key_name,
                                   size_t key_name_n, SSL_TICKET_STATUS status, void *argument)
{
    (void)key_name;
    (void)key_name_n;
    const struct tls_server *s = argument;
    if (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW)
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    struct span was = span_cstr(SSL_SESSION_get0_hostname(session));
    if (!span_eq_nocase(was, s->library->name))
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    /* A client of TLS 1.3 should use a ticket once (RFC 8446, appendix C.4). */
    bool renew = status == SSL_TICKET_SUCCESS_RENEW || SSL_version(ssl) == TLS1_3_VERSION;
    return renew ? SSL_TICKET_RETURN_USE_RENEW : SSL_TICKET_RETURN_USE;
}

/* ---- contexts ---- */

static int set_clients(struct tls_server *s, SSL_CTX *context, char why[TLS_WHY_MAX])
{
    if (s->client_auth == TLS_CLIENT_AUTH_NONE)
        return 0;
    int mode = SSL_VERIFY_PEER;
    if (s->client_auth == TLS_CLIENT_AUTH_REQUIRE)
        mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    SSL_CTX_set_verify(context, mode, NULL);
    SSL_CTX_set_verify_depth(context, TLS_CHAIN_DEPTH_MAX);
    STACK_OF(X509_NAME) *names = tls_ca_names(s->trust->ca);
    if (!names || SSL_CTX_set1_verify_cert_store(context, s->trust->store) != 1) {
        sk_X509_NAME_pop_free(names, X509_NAME_free);
        return tls_why(why, "there is no memory for the CA certificates");
    }
    SSL_CTX_set_client_CA_list(context, names);
    return 0;
}

static void set_tickets(struct tls_server *s, SSL_CTX *context)
{
    (void)SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    (void)SSL_CTX_set_timeout(context, TLS_TICKET_LIFETIME_S);
    if (!s->tickets) {
        (void)SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
        (void)SSL_CTX_set_num_tickets(context, 0);
        return;
    }
    (void)SSL_CTX_set_num_tickets(context, 1);
    (void)SSL_CTX_set_tlsext_ticket_key_evp_cb(context, tls_ticket_seal);
    (void)SSL_CTX_set_session_ticket_cb(context, NULL, on_ticket, s);
}

static int new_context(struct tls_server *s, const struct tls_server_options *o,
                       const uint8_t domain[32], SSL_CTX **ret_context, char why[TLS_WHY_MAX])
{
    SSL_CTX *context = SSL_CTX_new_ex(s->library->ossl, NULL, TLS_server_method());
    *ret_context = context;
    if (!context || !tls_context_prepare(context))
        return tls_why(why, "OpenSSL refuses: %s", tls_error_take());
    if (o->only_1_3)
        (void)SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
    (void)SSL_CTX_set_app_data(context, s);
    SSL_CTX_set_client_hello_cb(context, on_hello, s);
    (void)SSL_CTX_set_tlsext_servername_callback(context, on_name);
    if (s->alpn)
        SSL_CTX_set_alpn_select_cb(context, on_alpn, s);
    (void)SSL_CTX_set_tlsext_status_cb(context, on_status);
    (void)SSL_CTX_set_tlsext_status_arg(context, s);
    (void)SSL_CTX_set_session_id_context(context, domain, SSL_MAX_SID_CTX_LENGTH);
    SSL_CTX_set_max_cert_list(context, TLS_CHAIN_BYTES_MAX);
    set_tickets(s, context);
    return set_clients(s, context, why);
}

/* ---- sets ---- */

/* While a server is being built. */
struct build {
    struct tls_server *server;
    struct tls_parsed *parsed;
    uint32_t count;
};

static int kind_of(const EVP_PKEY *key)
{
    static const int kinds[] = {EVP_PKEY_RSA, EVP_PKEY_RSA_PSS, EVP_PKEY_EC, EVP_PKEY_ED25519,
                                EVP_PKEY_ED448};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (EVP_PKEY_get_base_id(key) == kinds[i])
            return (int)i;
    }
    return -1;
}

/* The number of the set with these members, made if need be; UINT32_MAX when there is no memory. */
static uint32_t set_with(struct tls_server *s, const struct tls_set *wanted)
{
    for (uint32_t i = 0; i < s->sets_count; i++) {
        if (memcmp(s->sets[i].members, wanted->members, sizeof wanted->members) == 0)
            return i;
    }
    struct tls_set *sets = realloc(s->sets, (s->sets_count + 1) * sizeof *sets);
    if (!sets)
        return UINT32_MAX;
    s->sets = sets;
    sets[s->sets_count] = *wanted;
    return s->sets_count++;
}

struct claim {
    char *text; /* the certificate's */
    uint32_t certificate;
};

static int compare_claims(const void *a, const void *b)
{
    const struct claim *x = a, *y = b;
    int order = strcmp(x->text, y->text);
    return order ? order : (x->certificate > y->certificate) - (x->certificate < y->certificate);
}

/* All (name, certificate), sorted. */
static struct claim *collect_claims(const struct build *b, uint32_t *ret_count)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < b->count; i++)
        count += b->parsed[i].names_count;
    struct claim *claims = calloc(count + 1, sizeof *claims);
    if (!claims)
        return NULL;
    *ret_count = 0;
    for (uint32_t i = 0; i < b->count; i++) {
        for (uint32_t k = 0; k < b->parsed[i].names_count; k++)
            claims[(*ret_count)++] = (struct claim){b->parsed[i].names[k], i};
    }
    qsort(claims, count, sizeof *claims, compare_claims);
    return claims;
}

/* The first certificate of each kind among those that claim one name. */
static struct tls_set members_of(const struct build *b, const struct claim *claims, uint32_t n)
{
    struct tls_set set = {0};
    for (uint32_t i = 0; i < n; i++) {
        uint32_t *member = &set.members[kind_of(b->parsed[claims[i].certificate].key)];
        if (*member == 0)
            *member = claims[i].certificate + 1;
    }
    return set;
}

/* The default is what serves the first name of the first certificate: those of other kinds too. */
static bool add_default(const struct build *b, const struct claim *claims, uint32_t count)
{
    const struct tls_parsed *first = &b->parsed[0];
    struct tls_set set = {0};
    uint32_t begin = 0, end = 0;
    for (; first->names_count > 0 && end < count; end++) {
        int order = strcmp(claims[end].text, first->names[0]);
        begin += order < 0;
        if (order > 0)
            break;
    }
    if (end > begin)
        set = members_of(b, claims + begin, end - begin);
    set.members[kind_of(first->key)] = 1;
    return set_with(b->server, &set) == 0;
}

static bool add_names(const struct build *b, const struct claim *claims, uint32_t count)
{
    struct tls_server *s = b->server;
    s->names = calloc(count + 1, sizeof *s->names);
    for (uint32_t begin = 0, end; s->names && begin < count; begin = end) {
        end = begin + 1;
        while (end < count && strcmp(claims[end].text, claims[begin].text) == 0)
            end++;
        struct tls_set members = members_of(b, claims + begin, end - begin);
        const char *text = claims[begin].text;
        struct tls_name_row *row = &s->names[s->names_count];
        row->set = set_with(s, &members);
        row->text = strdup(text[0] == '*' ? text + 1 : text);
        if (!row->text)
            return false;
        s->names_count++;
        if (row->set == UINT32_MAX)
            return false;
    }
    if (!s->names)
        return false;
    qsort(s->names, s->names_count, sizeof *s->names, compare_rows); /* a star sorts elsewhere */
    return true;
}

static int make_sets(const struct build *b, const struct tls_server_options *o,
                     const uint8_t domain[32], char why[TLS_WHY_MAX])
{
    uint32_t count = 0;
    struct claim *claims = collect_claims(b, &count);
    bool ok = claims && add_default(b, claims, count) && add_names(b, claims, count);
    free(claims);
    if (!ok)
        return tls_why(why, "there is no memory for the names");
    for (uint32_t i = 0; i < b->server->sets_count; i++) {
        struct tls_set *set = &b->server->sets[i];
        int rc = new_context(b->server, o, domain, &set->context, why);
        for (size_t k = 0; rc == 0 && k < ARRAY_LEN(set->members); k++) {
            char cause[TLS_WHY_MAX];
            if (set->members[k] == 0)
                continue;
            rc = tls_context_use(set->context, &b->parsed[set->members[k] - 1], cause);
            if (rc < 0)
                rc = tls_why(why, "certificate %u: %.200s", set->members[k], cause);
        }
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* ---- a server ---- */

static int parse_all(struct build *b, const struct tls_server_options *o, char why[TLS_WHY_MAX])
{
    for (uint32_t i = 0; i < o->certificates_count; i++) {
        char cause[TLS_WHY_MAX];
        int rc = tls_parse(b->server->library, &o->certificates[i], &b->parsed[i], cause);
        if (rc < 0)
            return tls_why(why, "certificate %u: %.200s", i + 1, cause);
        b->count = i + 1;
        if (kind_of(b->parsed[i].key) < 0)
            return tls_why(why, "certificate %u: its kind of key is not known here", i + 1);
    }
    return 0;
}

/* Takes the responses over. */
static bool take_staples(struct tls_server *s, struct build *b)
{
    s->staples = calloc(b->count, sizeof *s->staples);
    for (uint32_t i = 0; s->staples && i < b->count; i++) {
        struct tls_parsed *p = &b->parsed[i];
        if (p->staple.n == 0)
            continue;
        struct tls_staple *staple = &s->staples[s->staples_count++];
        *staple = (struct tls_staple){p->leaf, (uint8_t *)(uintptr_t)p->staple.p, p->staple.n};
        (void)X509_up_ref(p->leaf);
        p->staple = (struct span){NULL, 0};
    }
    return s->staples != NULL;
}

static void server_free(struct tls_server *s)
{
    for (uint32_t i = 0; i < s->sets_count; i++)
        SSL_CTX_free(s->sets[i].context);
    for (uint32_t i = 0; i < s->names_count; i++)
        free(s->names[i].text);
    for (uint32_t i = 0; i < s->staples_count; i++) {
        X509_free(s->staples[i].leaf);
        free(s->staples[i].der);
    }
    free(s->sets);
    free(s->names);
    free(s->staples);
    tls_trust_put(&s->trust);
    s->magic = 0;
    free(s);
}

static int server_fill(struct build *b, const struct tls_server_options *o, char why[TLS_WHY_MAX])
{
    struct tls_server *s = b->server;
    uint8_t domain[32];
    const struct span rules[] = {
        o->domain,
        span_of(&o->client_auth, sizeof o->client_auth),
        o->client_auth ? tls_ca_digest(o->client_ca) : (struct span){NULL, 0},
    };
    if (!tls_digest(s->library, rules, ARRAY_LEN(rules), domain))
        return tls_why(why, "there is no memory");
    memcpy(&s->rules, domain, sizeof s->rules);
    s->rules |= 1;
    int rc = 0;
    if (o->client_auth != TLS_CLIENT_AUTH_NONE)
        rc = tls_trust_get(s->library, o->client_ca, &s->trust, why);
    if (rc == 0)
        rc = parse_all(b, o, why);
    if (rc == 0)
        rc = make_sets(b, o, domain, why);
    if (rc == 0 && !take_staples(s, b))
        rc = tls_why(why, "there is no memory");
    return rc;
}

int tls_server_new(struct tls_library *library, const struct tls_server_options *o,
                   struct tls_server **ret_server, char why[TLS_WHY_MAX])
{
    CHECK(o->certificates_count > 0);
    struct tls_server *s = calloc(1, sizeof *s);
    struct build b = {.server = s, .parsed = calloc(o->certificates_count, sizeof *b.parsed)};
    if (!s || !b.parsed) {
        free(s);
        free(b.parsed);
        return tls_why(why, "there is no memory");
    }
    s->magic = TLS_SERVER_MAGIC;
    atomic_init(&s->refs, 1);
    s->library = library;
    s->tickets = o->tickets;
    s->client_auth = o->client_auth;
    s->openssl_records = o->openssl_records;
    s->alpn = o->alpn;
    int rc = server_fill(&b, o, why);
    for (uint32_t i = 0; i < o->certificates_count; i++)
        tls_parsed_fini(&b.parsed[i]);
    free(b.parsed);
    ERR_clear_error();
    if (rc < 0) {
        server_free(s);
        return rc;
    }
    *ret_server = s;
    return 0;
}

uint64_t tls_server_rules(const struct tls_server *server)
{
    CHECK_OBJ(server, TLS_SERVER_MAGIC);
    return server->rules;
}

struct tls_server *tls_server_ref(struct tls_server *server)
{
    CHECK_OBJ(server, TLS_SERVER_MAGIC);
    (void)atomic_fetch_add_explicit(&server->refs, 1, memory_order_relaxed);
    return server;
}

void tls_server_unref(struct tls_server **server)
{
    struct tls_server *s = *server;
    if (!s)
        return;
    CHECK_OBJ(s, TLS_SERVER_MAGIC);
    *server = NULL;
    if (atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) == 1)
        server_free(s);
}
