/* SPDX-License-Identifier: MIT */
#include "admin/call.h"
#include "admin/explain.h"

/* Each header "Name: value"; one text, or a list of them. */
/* Of each backend that is looked at; a table of a hash takes longest. Anybody may ask. */
#define WORK_BYTES 512

static bool read_headers(struct call *c, const json_t *body, struct explain_question *q)
{
    const json_t *list = json_object_get(body, "headers");
    size_t n = json_is_array(list) ? json_array_size(list) : 0;
    bool good = !list || json_is_array(list);
    for (size_t i = 0; good && i < n && i < EXPLAIN_FIELDS_MAX; i++) {
        const json_t *line = json_array_get(list, i);
        good = json_is_string(line);
        if (good)
            q->fields[q->field_count++] =
                span_of(json_string_value(line), json_string_length(line));
    }
    if (!good)
        call_fail(c, 400, "bad_request", "headers",
                  "'headers' must be a list of texts such as \"Name: value\"");
    else if (n > EXPLAIN_FIELDS_MAX)
        call_fail(c, 400, "bad_request", "headers", "at most %d headers", EXPLAIN_FIELDS_MAX);
    return good && n <= EXPLAIN_FIELDS_MAX;
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
    static const char *const keys[] = {"request", "headers", "from", "listener"};
    struct explain_question q = {0};
    json_t *body = call_body(c, keys, ARRAY_LEN(keys));
    if (!body)
        return;
    if (call_text(c, body, "request", &q.request) && call_text(c, body, "from", &q.from) &&
        call_text(c, body, "listener", &q.listener) && read_headers(c, body, &q))
        answer(c, &q);
    json_decref(body);
}
