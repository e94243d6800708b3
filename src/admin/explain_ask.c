/* SPDX-License-Identifier: MIT */
/* From what a person asks to the bytes a client would send, and the listener they would reach. */
#include "admin/explain.h"
#include "base/check.h"
#include "base/str.h"

#include <stdarg.h>
#include <stdio.h>

#define HTTP_PORT   80
#define HTTPS_PORT  443
#define SUGGEST_MAX 200

struct url {
    struct span authority; /* empty: none was given */
    struct span target;    /* path and query; may be empty */
    struct span query;     /* where the path is empty: begins with '?' */
    uint16_t port;         /* 0: none was given */
    bool secure;           /* https:// */
    struct span rest;      /* behind "http://" */
};

PRINTF(3, 4)
static bool fault(struct explain_fault *f, const char *field, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(f->message, sizeof(f->message), format, args);
    va_end(args);
    f->field = field;
    return false;
}

/* ---- the request ---- */

static bool has_control(struct span s)
{
    for (size_t i = 0; i < s.n; i++)
        if (ascii_is_control(s.p[i]))
            return true;
    return false;
}

/* "GET URL", or "URL" alone. */
static struct span split_method(struct span *request)
{
    size_t space = span_find(*request, ' ');
    if (space == SPAN_NOT_FOUND)
        return span_str("GET");
    struct span method = span_sub(*request, 0, space);
    *request = span_trim(span_from(*request, space));
    return method;
}

static uint16_t port_of(struct span authority)
{
    size_t colon = span_find_last(authority, ':');
    uint64_t port;
    if (colon == SPAN_NOT_FOUND || span_find(span_from(authority, colon), ']') != SPAN_NOT_FOUND)
        return 0;
    return span_to_u64(span_from(authority, colon + 1), &port) && port <= UINT16_MAX
               ? (uint16_t)port
               : 0;
}

static size_t first_of(struct span s, const char *bytes)
{
    size_t i = 0;
    while (i < s.n && !strchr(bytes, s.p[i]))
        i++;
    return i;
}

/* A client keeps what is behind '#' to itself. */
static bool split_url(struct span text, struct url *u, struct explain_fault *f)
{
    static const struct span http = SPAN_INIT("http://"), https = SPAN_INIT("https://");
    *u = (struct url){0};
    text = span_sub(text, 0, first_of(text, "#"));
    u->secure = span_eq_nocase(span_sub(text, 0, https.n), https);
    if (u->secure || span_eq_nocase(span_sub(text, 0, http.n), http)) {
        struct span rest = span_from(text, u->secure ? https.n : http.n);
        u->rest = rest;
        u->authority = span_sub(rest, 0, first_of(rest, "/?"));
        u->port = port_of(u->authority);
        text = span_from(rest, u->authority.n);
        if (u->authority.n == 0)
            return fault(f, "request",
                         "the address has no host; write it as "
                         "'GET http://example.com/path'");
    } else if (text.n == 0 || (text.p[0] != '/' && !span_eq(text, span_str("*")))) {
        return fault(f, "request",
                     "'" SPAN_FMT "' is neither an address nor a path; write it as "
                     "'GET http://example.com/path' or 'GET /path'",
                     SPAN_ARG(text));
    }
    u->target = text;
    return true;
}

static bool field_is_host(struct span line)
{
    return span_eq_nocase(span_trim(span_cut(&line, ':')), span_str("host"));
}

static bool check_fields(const struct explain_question *q, bool *ret_host, struct explain_fault *f)
{
    *ret_host = false;
    for (size_t i = 0; i < q->field_count; i++) {
        struct span line = q->fields[i];
        if (has_control(line))
            return fault(f, "headers", "a header has a control byte, such as a line end");
        if (span_find(line, ':') == SPAN_NOT_FOUND)
            return fault(f, "headers",
                         "the header '" SPAN_FMT "' has no colon; write it as 'Name: value'",
                         SPAN_ARG(line));
        *ret_host = *ret_host || field_is_host(line);
    }
    return true;
}

/* Who asks for a path alone means the listener's own address. */
static void write_host(struct writer *w, const struct url *u, const struct listener_conf *l)
{
    w_str(w, "Host: ");
    if (u->authority.n > 0) {
        w_span(w, u->authority);
    } else {
        char text[ADDRESS_TEXT_MAX];
        const struct address *a = &l->addresses[0];
        bool ip = a->kind == ADDRESS_V4 || a->kind == ADDRESS_V6;
        if (ip && !address_is_any(a))
            w_bytes(w, text, address_format(a, text));
        else
            w_str(w, "localhost");
    }
    w_str(w, "\r\n");
}

static size_t write_head(struct explanation *e, struct span method, const struct url *u,
                         const struct explain_question *q, bool has_host)
{
    struct writer w = writer_of(e->bytes, sizeof(e->bytes));
    w_span(&w, method);
    w_u8(&w, ' ');
    if (u->target.n == 0 || u->target.p[0] == '?')
        w_u8(&w, '/');
    w_span(&w, u->target);
    w_str(&w, " HTTP/1.1\r\n");
    if (!has_host)
        write_host(&w, u, e->listener);
    for (size_t i = 0; i < q->field_count; i++) {
        w_span(&w, q->fields[i]);
        w_str(&w, "\r\n");
    }
    w_str(&w, "\r\n");
    return w_ok(&w) ? w_len(&w) : 0;
}

/* ---- the listener ---- */

static bool has_port(const struct listener_conf *l, uint16_t port)
{
    for (size_t i = 0; i < l->address_count; i++)
        if (l->addresses[i].kind != ADDRESS_UNIX && l->addresses[i].port == port)
            return true;
    return false;
}

static size_t listener_names(const struct snapshot *s, const char *names[SUGGEST_MAX], char *list,
                             size_t list_size)
{
    struct writer w = writer_of(list, list_size);
    size_t n = MIN(s->listener_count, (size_t)SUGGEST_MAX);
    for (size_t i = 0; i < n; i++) {
        names[i] = s->listeners[i].name;
        w_printf(&w, "%s%s", i ? ", " : "", names[i]);
    }
    w.failed = false;
    w.at = MIN(w.at, w.end - 1);
    (void)w_cstr(&w);
    return n;
}

static const struct listener_conf *by_name(const struct snapshot *s, struct span name,
                                           struct explain_fault *f)
{
    const char *names[SUGGEST_MAX];
    char list[256];
    for (size_t i = 0; i < s->listener_count; i++)
        if (span_eq(name, span_cstr(s->listeners[i].name)))
            return &s->listeners[i];
    size_t n = listener_names(s, names, list, sizeof(list));
    const char *near = suggest_closest(name, names, n);
    fault(f, "listener", "there is no listener '" SPAN_FMT "'%s%s%s%s%s", SPAN_ARG(name),
          near ? "; did you mean '" : "; there is ", near ? near : list, near ? "'" : "",
          near ? "?" : "", "");
    return NULL;
}

static const struct listener_conf *by_port(const struct snapshot *s, uint16_t port,
                                           struct explain_fault *f)
{
    const char *names[SUGGEST_MAX];
    char list[256];
    if (s->listener_count == 1)
        return &s->listeners[0];
    for (size_t i = 0; i < s->listener_count; i++)
        if (has_port(&s->listeners[i], port))
            return &s->listeners[i];
    (void)listener_names(s, names, list, sizeof(list));
    fault(f, "listener", "no listener has port %u; say which one is meant: %s", port, list);
    return NULL;
}

/* ---- the client ---- */

static bool read_client(struct span from, struct address *ret_client, struct explain_fault *f)
{
    struct address_block one;
    const char *why;
    if (from.n == 0)
        from = span_str("127.0.0.1");
    if (address_block_parse(from, &one, &why) < 0)
        return fault(f, "from", "'" SPAN_FMT "' is not an IP address such as 192.0.2.1",
                     SPAN_ARG(from));
    if (one.prefix_bits != (one.kind == ADDRESS_V4 ? 32 : 128))
        return fault(f, "from", "'" SPAN_FMT "' is a block; a client has one address",
                     SPAN_ARG(from));
    *ret_client = (struct address){.kind = one.kind};
    memcpy(ret_client->ip, one.ip, sizeof(one.ip));
    return true;
}

/* ---- TLS ---- */

static bool put_tls(struct explanation *e, struct span key, struct span value)
{
    struct client_certificate *c = &e->arrival.certificate;
    if (span_eq(key, span_str("sni")))
        e->arrival.sni = value;
    else if (span_eq(key, span_str("client_subject")))
        c->subject = value;
    else if (span_eq(key, span_str("client_fingerprint")))
        c->fingerprint = value;
    else if (span_eq(key, span_str("client_san")))
        e->names[c->name_count++] = value;
    else
        return false;
    c->verified = c->verified || !span_eq(key, span_str("sni"));
    return true;
}

/* Who asks a listener with TLS for a host has asked TLS for it, unless it is an address. */
static struct span usual_sni(const struct url *u)
{
    struct address_block ip;
    const char *why;
    struct span host = u->authority, port = host;
    bool v6 = host.n > 0 && host.p[0] == '[';
    host = v6 ? span_of(NULL, 0) : span_cut(&port, ':');
    return address_block_parse(host, &ip, &why) == 0 ? span_of(NULL, 0) : host;
}

static bool read_arrival(const struct explain_question *q, const struct url *u,
                         struct explanation *e, struct explain_fault *f)
{
    const struct listener_conf *l = e->listener;
    if (u->secure && !l->tls.enabled)
        return fault(f, "request",
                     "'https://' is not spoken by listener '%s'; ask for 'http://" SPAN_FMT "'",
                     l->name, SPAN_ARG(u->rest));
    if (q->tls_count > 0 && l->protocol == PROTOCOL_HTTP && !l->tls.enabled)
        return fault(f, "tls", "listener '%s' speaks no TLS", l->name);
    e->arrival.secure = l->tls.enabled;
    e->arrival.sni = l->tls.enabled ? usual_sni(u) : span_of(NULL, 0);
    e->arrival.certificate.names = e->names;
    for (size_t i = 0; i < q->tls_count; i++) {
        struct span value = q->tls[i], key = span_cut(&value, '=');
        if (!put_tls(e, key, value))
            return fault(f, "tls",
                         "'" SPAN_FMT "' is none of sni=NAME, client_subject=TEXT, client_san=NAME "
                         "and client_fingerprint=HEX",
                         SPAN_ARG(q->tls[i]));
    }
    if (l->tls.enabled || q->tls_count > 0)
        e->came = &e->arrival;
    return true;
}

bool explain_ask(const struct snapshot *s, const struct explain_question *q, struct explanation *e,
                 size_t *ret_head_bytes, struct explain_fault *f)
{
    struct url u = {0};
    struct span request = span_trim(q->request);
    struct span method = split_method(&request);
    bool has_host;
    if (has_control(q->request))
        return fault(f, "request", "the request has a control byte, such as a line end");
    CHECK(q->tls_count <= EXPLAIN_TLS_MAX);
    if (request.n > 0 && !split_url(request, &u, f))
        return false;
    if (!check_fields(q, &has_host, f) || !read_client(q->from, &e->client, f))
        return false;
    uint16_t port = u.port ? u.port : u.secure ? HTTPS_PORT : HTTP_PORT;
    e->listener = q->listener.n ? by_name(s, q->listener, f) : by_port(s, port, f);
    if (!e->listener || !read_arrival(q, &u, e, f))
        return false;
    *ret_head_bytes = 0;
    if (e->listener->protocol == PROTOCOL_TCP)
        return true;
    if (request.n == 0)
        return fault(f, "request",
                     "listener '%s' speaks HTTP: say which request, such as "
                     "'GET http://example.com/path'",
                     e->listener->name);
    *ret_head_bytes = write_head(e, method, &u, q, has_host);
    return *ret_head_bytes > 0 ||
           fault(f, "request", "the request is larger than any that is accepted (%d bytes)",
                 HTTP_HEAD_MAX);
}
