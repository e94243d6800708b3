/* SPDX-License-Identifier: MIT */
/*
 * From a head to a decision, from a decision to an answer. The calls themselves are in call_look.c,
 * call_change.c and call_explain.c; who may make them is decided here, once, from the verb table.
 */
#include "admin/call.h"

#include "admin/auth.h"
#include "admin/diagnostics.h"
#include "base/check.h"
#include "codec/h1_write.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static call_fn *const calls[] = {
#define ADMIN_VERB(id, method, path, who, summary) [ADMIN_VERB_##id] = call_##id,
#include "admin/verbs.def"
#undef ADMIN_VERB
};

static const char type_json[] = "application/json";

/* ---- lifetime ---- */

struct call *call_new(struct site *site, bool over_socket)
{
    struct call *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    c->magic = CALL_MAGIC;
    c->site = site;
    c->over_socket = over_socket;
    text_init(&c->out, ADMIN_ANSWER_MAX);
    return c;
}

static void call_free(struct call *c)
{
    text_fini(&c->out);
    c->magic = 0;
    free(c);
}

void call_drop(struct call **call)
{
    struct call *c = *call;
    if (!c)
        return;
    *call = NULL;
    CHECK_OBJ(c, CALL_MAGIC);
    c->answered = NULL;
    c->owner = NULL;
    c->site = NULL;
    c->body = (struct span){0};
    if (c->state != CALL_LATER)
        call_free(c);
}

/* What was made does not fit: a smaller answer takes its place. */
static void check_answer(struct call *c)
{
    if (!text_ok(&c->out))
        call_fail(c, 503, "unavailable", NULL, "the answer would be larger than is given here");
}

void call_answer_later(struct call *c)
{
    CHECK_OBJ(c, CALL_MAGIC);
    CHECK(c->state == CALL_ANSWERED);
    check_answer(c);
    if (c->answered)
        c->answered(c->owner, c);
    else
        call_free(c);
}

/* ---- answers ---- */

struct steer_view call_view(const struct call *c)
{
    struct steer_view view = {0};
    c->site->ops->view(c->site->ops_user, &view);
    return view;
}

static void answer(struct call *c, uint16_t status, const char *type)
{
    c->state = CALL_ANSWERED;
    c->status = status;
    c->type = type;
}

struct json call_json(struct call *c, uint16_t status)
{
    answer(c, status, type_json);
    text_cut(&c->out, 0);
    return j_of(&c->out);
}

static void put_error(struct call *c, uint16_t status, const char *reason, const char *field,
                      const char *message, bool diagnostics)
{
    text_fini(&c->out);
    struct json j = call_json(c, status);
    j_object(&j, NULL);
    j_object(&j, "error");
    j_str(&j, "reason", reason);
    j_str(&j, "message", message);
    if (field && *field)
        j_str(&j, "field", field);
    if (diagnostics)
        diagnostics_put(&j, span_cstr(message));
    j_end(&j);
    j_end(&j);
}

void call_fail(struct call *c, uint16_t status, const char *reason, const char *field,
               const char *format, ...)
{
    char message[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    put_error(c, status, reason, field, message, false);
}

void call_fail_result(struct call *c, const struct steer_result *result)
{
    static const struct {
        uint16_t status;
        const char *reason;
    } how[] = {
        [STEER_OK] = {500, "failed"},
        [STEER_BAD] = {400, "bad_request"},
        [STEER_INVALID] = {400, "config_invalid"},
        [STEER_NOT_FOUND] = {404, "not_found"},
        [STEER_CONFLICT] = {409, "conflict"},
        [STEER_FAILED] = {500, "failed"},
    };
    CHECK((size_t)result->code < ARRAY_LEN(how));
    put_error(c, how[result->code].status, how[result->code].reason, result->field, result->message,
              result->code == STEER_INVALID);
}

void call_unavailable(struct call *c, const char *what)
{
    call_fail(c, 503, "unavailable", NULL, "%s is not available in this balancer", what);
}

size_t call_head(const struct call *c, bool keep_alive, uint8_t out[CALL_HEAD_MAX])
{
    struct writer w = writer_of(out, CALL_HEAD_MAX);
    w_printf(&w, "HTTP/1.1 %u %s\r\n", c->status, h1_status_phrase(c->status));
    if (c->type)
        h1_write_field(&w, span_str("Content-Type"), span_cstr(c->type));
    if (c->state != CALL_STREAM && c->status != 304)
        h1_write_content_length(&w, c->out.n);
    w_str(&w, c->fields);
    if (!strstr(c->fields, "Cache-Control:"))
        w_str(&w, "Cache-Control: no-store\r\n");
    w_str(&w, "X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n"
              "Cross-Origin-Resource-Policy: same-origin\r\n");
    if (!keep_alive)
        w_str(&w, "Connection: close\r\n");
    h1_write_head_end(&w);
    CHECK(w_ok(&w));
    return w_len(&w);
}

/* ---- bodies ---- */

json_t *call_body(struct call *c, const char *const *keys, size_t key_count)
{
    struct json_fault fault;
    json_t *body = j_read(c->body, keys, key_count, &fault);
    if (!body)
        call_fail(c, 400, "bad_request", fault.field, "%s", fault.message);
    return body;
}

bool call_bool(struct call *c, const json_t *body, const char *key, bool *ret)
{
    const json_t *v = json_object_get(body, key);
    if (!v)
        return true;
    if (!json_is_boolean(v)) {
        call_fail(c, 400, "bad_request", key, "'%s' must be true or false", key);
        return false;
    }
    *ret = json_is_true(v);
    return true;
}

bool call_u64(struct call *c, const json_t *body, const char *key, uint64_t max, uint64_t *ret)
{
    const json_t *v = json_object_get(body, key);
    if (!v)
        return true;
    json_int_t n = json_is_integer(v) ? json_integer_value(v) : -1;
    if (n < 0 || (uint64_t)n > max) {
        call_fail(c, 400, "bad_request", key, "'%s' must be a whole number from 0 to %llu", key,
                  (unsigned long long)max);
        return false;
    }
    *ret = (uint64_t)n;
    return true;
}

bool call_text(struct call *c, const json_t *body, const char *key, struct span *ret)
{
    const json_t *v = json_object_get(body, key);
    if (!v)
        return true;
    if (!json_is_string(v)) {
        call_fail(c, 400, "bad_request", key, "'%s' must be a text", key);
        return false;
    }
    *ret = span_of(json_string_value(v), json_string_length(v));
    return true;
}

/* ---- who may ---- */

/* The query and the validator are kept where they fit; what does not fit is none of ours. */
static bool keep_texts(struct call *c, const struct head *h)
{
    struct writer w = writer_of(c->texts, sizeof(c->texts));
    if (h->has_query) {
        struct span query = head_span(h, h->query);
        if (query.n > CALL_QUERY_MAX)
            return false;
        w_span(&w, query);
        c->query = span_of(c->texts, query.n);
    }
    unsigned at = 0;
    const struct field *f = head_find_name(h, span_str("if-none-match"), &at);
    struct span tag = f ? field_value(h, f) : (struct span){0};
    if (tag.n > 0 && tag.n <= w_left(&w)) {
        c->if_none_match = span_of(w.at, tag.n);
        w_span(&w, tag);
    }
    return true;
}

/* Percent escapes in place; %00 and %2F never come this far (codec/target.h). */
static struct span decoded(uint8_t *p, size_t n)
{
    size_t out = 0;
    for (size_t i = 0; i < n; i++, out++) {
        if (p[i] == '%' && i + 2 < n && ascii_hex_value(p[i + 1]) >= 0 &&
            ascii_hex_value(p[i + 2]) >= 0) {
            p[out] = (uint8_t)(ascii_hex_value(p[i + 1]) << 4 | ascii_hex_value(p[i + 2]));
            i += 2;
        } else {
            p[out] = p[i];
        }
    }
    return span_of(p, out);
}

static void no_such_path(struct call *c, struct span path)
{
    const char *near = admin_verb_suggest(path);
    if (near)
        call_fail(c, 404, "not_found", NULL, "there is nothing at this path; did you mean '%s'?",
                  near);
    else
        call_fail(c, 404, "not_found", NULL, "there is nothing at this path; see docs/api.md");
}

static void no_such_method(struct call *c, struct span path)
{
    char methods[128];
    struct writer w = writer_of(methods, sizeof(methods));
    admin_verb_methods(path, &w);
    const char *list = w_cstr(&w);
    call_fail(c, 405, "method_not_allowed", NULL, "this path is there for %s", list);
    snprintf(c->fields, sizeof(c->fields), "Allow: %s\r\n", list);
}

static bool find_verb(struct call *c, const struct head *h)
{
    struct span path = head_path(h);
    struct admin_match match;
    enum admin_found found = ADMIN_NO_PATH;
    if (path.n <= sizeof(c->path)) {
        memcpy(c->path, path.p, path.n);
        found = admin_verb_find(h->method, span_of(c->path, path.n), &match);
    }
    if (found == ADMIN_NO_PATH)
        no_such_path(c, path);
    if (found == ADMIN_NO_METHOD)
        no_such_method(c, path);
    if (found != ADMIN_FOUND)
        return false;
    c->verb = match.verb;
    for (size_t i = 0; i < ADMIN_PARAMS_MAX; i++) {
        uint8_t *p = match.params[i].n ? c->path + (match.params[i].p - c->path) : NULL;
        c->params[i] = p ? decoded(p, match.params[i].n) : (struct span){0};
    }
    return true;
}

static bool may_change(struct call *c, const struct head *h)
{
    if (c->over_socket)
        return true;
    if (!c->site->token) {
        call_fail(c, 403, "forbidden", NULL,
                  "changes over this address need a token, and the configuration has none "
                  "(admin.token); use the unix socket");
        return false;
    }
    if (auth_token_ok(auth_bearer(h), span_cstr(c->site->token)))
        return true;
    call_fail(c, 401, "token_needed", NULL,
              "this needs the token of the configuration: Authorization: Bearer TOKEN");
    snprintf(c->fields, sizeof(c->fields), "WWW-Authenticate: Bearer realm=\"poise\"\r\n");
    return false;
}

void call_begin(struct call *c, const struct head *h)
{
    c->head_only = h->method == METHOD_HEAD;
    c->keep_alive = h->keep_alive;
    struct span host = head_span(h, h->host);
    bool hostless = h->authority.len == 0 && h->version_minor == 0;
    if (!hostless && !auth_host_ok(host)) {
        call_fail(c, 403, "forbidden", NULL,
                  "the Host of this request is not an address of this server");
        return;
    }
    if (!find_verb(c, h))
        return;
    const struct admin_verb_row *row = admin_verb_row(c->verb);
    if (!auth_origin_ok(h, c->verb == ADMIN_VERB_page)) {
        call_fail(c, 403, "forbidden", NULL, "pages of another origin may not use this server");
        return;
    }
    if (row->who == ADMIN_CHANGERS && !may_change(c, h)) {
        c->site->changes_refused++;
        return;
    }
    if (!keep_texts(c, h))
        call_fail(c, 400, "bad_request", NULL, "the query is longer than any that is known here");
}

void call_run(struct call *c)
{
    CHECK_OBJ(c, CALL_MAGIC);
    CHECK(c->state == CALL_ADMITTED);
    calls[c->verb](c);
    CHECK(c->state != CALL_ADMITTED);
    if (c->state == CALL_ANSWERED)
        check_answer(c);
}
