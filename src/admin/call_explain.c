/* SPDX-License-Identifier: MIT */
#include "admin/call.h"
#include "admin/explain.h"

/* Of each backend that is looked at; a table of a hash takes longest. Anybody may ask. */
#define WORK_BYTES 512

/* A list of texts, of which at most `max`. */
static bool read_list(struct call *c, const json_t *body, const char *key, const char *such,
                      struct span *texts, size_t max, size_t *ret_count)
{
    const json_t *list = json_object_get(body, key);
    size_t n = json_is_array(list) ? json_array_size(list) : 0;
    bool good = !list || json_is_array(list);
    for (size_t i = 0; good && i < n && i < max; i++) {
        const json_t *text = json_array_get(list, i);
        good = json_is_string(text);
        if (good)
            texts[(*ret_count)++] = span_of(json_string_value(text), json_string_length(text));
    }
    if (!good)
        call_fail(c, 400, "bad_request", key, "'%s' must be a list of texts such as \"%s\"", key,
                  such);
    else if (n > max)
        call_fail(c, 400, "bad_request", key, "at most %zu %s", max, key);
    return good && n <= max;
}

static bool read_lists(struct call *c, const json_t *body, struct explain_question *q)
{
    return read_list(c, body, "headers", "Name: value", q->fields, EXPLAIN_FIELDS_MAX,
                     &q->field_count) &&
           read_list(c, body, "tls", "sni=example.com", q->tls, EXPLAIN_TLS_MAX, &q->tls_count);
}

static void answer(struct call *c, const struct explain_question *q)
{
    struct steer_view view = call_view(c);
    struct explain_world world = {
        .snapshot = view.snapshot, .view = &view, .seed = c->site->now_ms};
    struct explain_fault fault;
    struct explanation *e = explain(&world, q, &fault);
    if (!e) {
        call_fail(c, fault.field ? 400 : 503, fault.field ? "bad_request" : "unavailable",
                  fault.field, "%s", fault.message);
        return;
    }
    c->work = e->candidates_total * WORK_BYTES;
    struct json j = call_json(c, 200);
    explain_json(&j, NULL, &world, e);
    explain_free(&e);
}

void call_explain(struct call *c)
{
    static const char *const keys[] = {"request", "headers", "tls", "from", "listener"};
    struct explain_question q = {0};
    json_t *body = call_body(c, keys, ARRAY_LEN(keys));
    if (!body)
        return;
    if (call_text(c, body, "request", &q.request) && call_text(c, body, "from", &q.from) &&
        call_text(c, body, "listener", &q.listener) && read_lists(c, body, &q))
        answer(c, &q);
    json_decref(body);
}
