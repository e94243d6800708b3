/* SPDX-License-Identifier: MIT */
/*
 * One function for each scope walks its objects, one for each metric writes the samples of one
 * object. All samples of a metric must follow each other, so the metric is the outer loop.
 */
#include "admin/metrics.h"

#include "account/account.h"
#include "account/board.h"
#include "admin/look.h"
#include "admin/usage.h"
#include "base/check.h"
#include "base/limits.h"
#include "codec/grpc.h"
#include "codec/message.h"
#include "codec/tls.h"
#include "forward/forwarder.h"

#include <stdlib.h>

/* Two names, each byte escaped, a listener's or an address of a backend. */
#define LABELS_BYTES 2048

/* What a sample is about, and where it goes. */
struct sample {
    const struct steer_view *view;
    const struct account_board *board; /* never NULL */
    struct text *out;
    const char *name;
    const struct front *front;
    size_t index;                         /* of the front */
    const struct listener_conf *listener; /* of the front */
    const struct pool *pool;
    const struct backend *backend;
    uint8_t labels[LABELS_BYTES]; /* those that all samples of the object have; no braces */
    size_t labels_len;
};

typedef void sample_fn(struct sample *s);

enum scope { SCOPE_PROCESS, SCOPE_LISTENER, SCOPE_PAIR, SCOPE_POOL, SCOPE_BACKEND };

#define METRIC(id, type, scope, name, labels, help) static sample_fn write_##id;
#include "admin/metrics.def"
#undef METRIC

static const struct metric metrics[] = {
#define METRIC(id, type, scope, name, labels, help) {name, #type, labels, help},
#include "admin/metrics.def"
#undef METRIC
};

static const struct {
    enum scope scope;
    sample_fn *write;
} writers[] = {
#define METRIC(id, type, scope, name, labels, help) {SCOPE_##scope, write_##id},
#include "admin/metrics.def"
#undef METRIC
};

size_t metrics_count(void)
{
    return ARRAY_LEN(metrics);
}

const struct metric *metrics_get(size_t i)
{
    CHECK(i < ARRAY_LEN(metrics));
    return &metrics[i];
}

/* ---- lines ---- */

/* A label's value may hold anything but a bare backslash, quote or line end. */
static void escape(struct writer *w, struct span text)
{
    for (size_t i = 0; i < text.n; i++) {
        uint8_t c = text.p[i];
        if (c == '\\' || c == '"')
            w_u8(w, '\\');
        if (c == '\n')
            w_str(w, "\\n");
        else
            w_u8(w, c);
    }
}

static void label(struct writer *w, const char *name, const char *value)
{
    if (w_len(w) > 0)
        w_u8(w, ',');
    w_str(w, name);
    w_str(w, "=\"");
    escape(w, span_cstr(value));
    w_u8(w, '"');
}

/* Name, labels and the space before the value; `more` further labels as they are written. */
static void begin(struct sample *s, const char *suffix, const char *more, size_t more_len)
{
    struct text *t = s->out;
    text_str(t, s->name);
    text_str(t, suffix);
    if (s->labels_len + more_len > 0) {
        text_u8(t, '{');
        text_add(t, s->labels, s->labels_len);
        if (s->labels_len > 0 && more_len > 0)
            text_u8(t, ',');
        text_add(t, more, more_len);
        text_u8(t, '}');
    }
    text_u8(t, ' ');
}

static void value_u64(struct sample *s, uint64_t value)
{
    begin(s, "", NULL, 0);
    text_u64(s->out, value);
    text_u8(s->out, '\n');
}

static void value_double(struct sample *s, const char *suffix, double value)
{
    begin(s, suffix, NULL, 0);
    text_printf(s->out, "%.6f\n", value);
}

/* With one label more, whose value is a word of ours. */
static void labelled(struct sample *s, const char *name, const char *word, uint64_t value)
{
    uint8_t room[96];
    struct writer w = writer_of(room, sizeof(room));
    label(&w, name, word);
    CHECK(w_ok(&w));
    begin(s, "", (const char *)room, w_len(&w));
    text_u64(s->out, value);
    text_u8(s->out, '\n');
}

static void histogram(struct sample *s, const struct latency_sum *l)
{
    uint64_t below = 0;
    size_t bucket = 0;
    for (size_t i = 0; i < LATENCY_BOUNDS; i++) {
        while (bucket <= latency_bounds[i].bucket)
            below += l->buckets[bucket++];
        uint8_t room[32];
        struct writer w = writer_of(room, sizeof(room));
        label(&w, "le", latency_bounds[i].seconds);
        begin(s, "_bucket", (const char *)room, w_len(&w));
        text_u64(s->out, below);
        text_u8(s->out, '\n');
    }
    static const char infinite[] = "le=\"+Inf\"";
    begin(s, "_bucket", infinite, sizeof(infinite) - 1);
    text_u64(s->out, l->count);
    text_u8(s->out, '\n');
    value_double(s, "_sum", l->seconds);
    begin(s, "_count", NULL, 0);
    text_u64(s->out, l->count);
    text_u8(s->out, '\n');
}

/* False: they are longer than any that are allowed; the object is passed over. */
static bool set_labels(struct sample *s, const char *const *words, size_t count)
{
    struct writer w = writer_of(s->labels, sizeof(s->labels));
    for (size_t i = 0; i + 1 < count; i += 2)
        label(&w, words[i], words[i + 1]);
    s->labels_len = w_ok(&w) ? w_len(&w) : 0;
    return w_ok(&w);
}

/* ---- of the process ---- */

static void write_build_info(struct sample *s)
{
    const char *words[] = {"version", POISE_VERSION, "engine", s->view->engine_name};
    if (set_labels(s, words, ARRAY_LEN(words)))
        value_u64(s, 1);
}

static void write_workers(struct sample *s)
{
    value_u64(s, s->view->worker_count);
}

static void write_worker_exchanges(struct sample *s)
{
    for (uint32_t i = 0; i < board_accounts(s->board); i++) {
        char number[16];
        struct writer w = writer_of(number, sizeof(number));
        w_u64_dec(&w, i);
        uint64_t sum = 0;
        for (size_t k = 0; k < REASON_COUNT; k++)
            sum += account_reason(board_account(s->board, i), (enum reason)k);
        labelled(s, "worker", w_cstr(&w), sum);
    }
}

static void write_draining(struct sample *s)
{
    value_u64(s, s->view->draining);
}

static void write_generation(struct sample *s)
{
    value_u64(s, s->view->generation);
}

static void write_reload_success(struct sample *s)
{
    value_u64(s, s->view->reload_ok);
}

static void seconds(struct sample *s, uint64_t ms)
{
    begin(s, "", NULL, 0);
    text_printf(s->out, "%llu.%03u\n", (unsigned long long)(ms / 1000), (unsigned)(ms % 1000));
}

static void write_reload_time(struct sample *s)
{
    seconds(s, s->view->reload_wall_ms);
}

static void write_exchange_ends(struct sample *s)
{
    for (size_t i = 0; i < REASON_COUNT; i++)
        labelled(s, "reason", reason_name((enum reason)i), board_reason(s->board, (enum reason)i));
}

static void write_records_dropped(struct sample *s)
{
    value_u64(s, board_records_dropped(s->board));
}

static void write_series_dropped(struct sample *s)
{
    value_u64(s, board_untold(s->board));
}

static void write_process_cpu(struct sample *s)
{
    value_double(s, "", usage_cpu_seconds());
}

static void write_usage(struct sample *s, enum usage what)
{
    uint64_t value;
    if (usage_get(what, &value))
        value_u64(s, value);
}

static void write_process_resident(struct sample *s)
{
    write_usage(s, USAGE_RESIDENT_BYTES);
}

static void write_process_virtual(struct sample *s)
{
    write_usage(s, USAGE_VIRTUAL_BYTES);
}

static void write_process_fds(struct sample *s)
{
    write_usage(s, USAGE_FILES);
}

static void write_process_fds_max(struct sample *s)
{
    write_usage(s, USAGE_FILES_MAX);
}

static void write_process_start(struct sample *s)
{
    seconds(s, s->view->started_wall_ms);
}

/* ---- of a listener ---- */

static const char *const tunnel_words[BOARD_TUNNELS] = {"websocket", "other"};

static void write_connections_taken(struct sample *s)
{
    value_u64(s, board_connections(s->board, s->front->key));
}

static void write_connections(struct sample *s)
{
    value_u64(s, look_connections(s->front));
}

static void write_connections_max(struct sample *s)
{
    value_u64(s, s->listener->max_connections);
}

static void write_tunnels(struct sample *s)
{
    struct board_tunnels t = {0};
    board_tunnels(s->board, s->front->key, &t);
    for (size_t i = 0; i < BOARD_TUNNELS; i++)
        labelled(s, "protocol", tunnel_words[i], t.begun[i] - t.ended[i]);
}

static void write_tunnels_begun(struct sample *s)
{
    struct board_tunnels t = {0};
    board_tunnels(s->board, s->front->key, &t);
    for (size_t i = 0; i < BOARD_TUNNELS; i++)
        labelled(s, "protocol", tunnel_words[i], t.begun[i]);
}

static void write_bytes(struct sample *s)
{
    struct board_sum sum = {0};
    uint64_t classes[BOARD_CLASSES] = {0};
    board_listener(s->board, s->front->key, &sum, classes);
    labelled(s, "direction", "in", sum.bytes_in);
    labelled(s, "direction", "out", sum.bytes_out);
}

/* With further labels, in pairs of name and value. */
static void sampled(struct sample *s, const char *const *words, size_t count, uint64_t value)
{
    uint8_t room[LABELS_BYTES];
    struct writer w = writer_of(room, sizeof(room));
    for (size_t i = 0; i + 1 < count; i += 2)
        label(&w, words[i], words[i + 1]);
    if (!w_ok(&w))
        return;
    begin(s, "", (const char *)room, w_len(&w));
    text_u64(s->out, value);
    text_u8(s->out, '\n');
}

static void write_handshakes(struct sample *s)
{
    struct board_handshakes h = {0};
    if (!s->listener->tls.enabled)
        return;
    board_tls(s->board, s->front->key, &h);
    for (size_t i = 0; i < BOARD_HANDSHAKES; i++) {
        bool tls13 = i >= board_handshake(true, false), resumed = i & 1;
        const char *words[] = {"version", tls13 ? "1.3" : "1.2", "resumed",
                               resumed ? "true" : "false"};
        sampled(s, words, ARRAY_LEN(words), h.done[i]);
    }
}

static void write_handshake_failures(struct sample *s)
{
    struct board_handshakes h = {0};
    if (!s->listener->tls.enabled)
        return;
    board_tls(s->board, s->front->key, &h);
    for (size_t i = 0; i < BOARD_HANDSHAKE_REASONS; i++)
        labelled(s, "reason", reason_name(board_handshake_reason(i)), h.failed[i]);
}

static void write_certificate_end(struct sample *s)
{
    const struct steer_view *v = s->view;
    struct steer_certificate c;
    for (size_t i = 0; v->certificate && v->certificate(v->certificates, s->index, i, &c); i++) {
        const char *words[] = {"certificate", c.file, "key", c.facts->key_type};
        if (!c.repeated) /* or it would be one series twice */
            sampled(s, words, ARRAY_LEN(words), (uint64_t)MAX(c.facts->not_after_s, INT64_C(0)));
    }
}

/* ---- of a listener and a pool ---- */

static const char *const class_words[BOARD_CLASSES] = {"0xx", "1xx", "2xx", "3xx", "4xx", "5xx"};

static const char *method_word(size_t method)
{
    static const char *const words[BOARD_METHODS] = {
        [METHOD_OTHER] = "other",     [METHOD_GET] = "GET",         [METHOD_HEAD] = "HEAD",
        [METHOD_POST] = "POST",       [METHOD_PUT] = "PUT",         [METHOD_DELETE] = "DELETE",
        [METHOD_OPTIONS] = "OPTIONS", [METHOD_TRACE] = "TRACE",     [METHOD_PATCH] = "PATCH",
        [METHOD_CONNECT] = "CONNECT", [BOARD_METHOD_NONE] = "none",
    };
    return words[method];
}

static void one_code(struct sample *s, const char *code, const char *method, uint64_t value)
{
    uint8_t room[64];
    struct writer w = writer_of(room, sizeof(room));
    label(&w, "code", code);
    if (method)
        label(&w, "method", method);
    begin(s, "", (const char *)room, w_len(&w));
    text_u64(s->out, value);
    text_u8(s->out, '\n');
}

static void all_codes(struct sample *s, const struct board_codes *codes, bool with_method)
{
    for (uint32_t i = 0; i < codes->count; i++) {
        const struct board_code *c = &codes->codes[i];
        char number[8];
        struct writer w = writer_of(number, sizeof(number));
        w_u64_dec(&w, c->status);
        one_code(s, c->status ? w_cstr(&w) : "none", with_method ? method_word(c->method) : NULL,
                 c->count);
    }
    for (size_t i = 0; i < BOARD_CLASSES; i++) {
        for (size_t k = 0; k < BOARD_METHODS; k++) {
            if (codes->by_class[i][k] > 0)
                one_code(s, class_words[i], with_method ? method_word(k) : NULL,
                         codes->by_class[i][k]);
        }
    }
}

static const struct board_key *pool_key(const struct sample *s)
{
    return s->pool ? &s->pool->key : NULL;
}

static void write_requests(struct sample *s)
{
    struct board_codes codes;
    board_codes_clear(&codes);
    board_pair_codes(s->board, s->front->key, pool_key(s), &codes);
    all_codes(s, &codes, true);
}

static void write_request_duration(struct sample *s)
{
    struct board_sum sum = {0};
    if (board_pair(s->board, s->front->key, pool_key(s), &sum))
        histogram(s, &sum.latency);
}

static void write_grpc_requests(struct sample *s)
{
    uint64_t counts[BOARD_GRPC] = {0};
    board_pair_grpc(s->board, s->front->key, pool_key(s), counts);
    for (unsigned i = 0; i < BOARD_GRPC; i++) {
        if (counts[i] > 0)
            labelled(s, "status", i == 0 ? "none" : grpc_status_name(i - 1), counts[i]);
    }
}

/* ---- of a pool ---- */

static void write_retries(struct sample *s)
{
    struct board_sum sum = {0};
    uint64_t classes[BOARD_CLASSES] = {0};
    board_pool(s->board, s->pool->key, &sum, classes);
    value_u64(s, sum.retries);
}

static void write_waiting(struct sample *s)
{
    value_u64(s, look_waiting(s->pool));
}

static void write_backends(struct sample *s)
{
    value_u64(s, look_count(s->pool).total);
}

static void write_backends_up(struct sample *s)
{
    value_u64(s, look_count(s->pool).up);
}

/* ---- of a backend ---- */

static void write_backend_requests(struct sample *s)
{
    struct board_codes codes;
    board_codes_clear(&codes);
    board_backend_codes(s->board, s->backend->key, &codes);
    all_codes(s, &codes, false);
}

static uint32_t state_of(const struct sample *s)
{
    return atomic_load_explicit(&s->backend->state, memory_order_relaxed);
}

static void write_backend_up(struct sample *s)
{
    value_u64(s, !(state_of(s) & (BACKEND_DOWN | BACKEND_EJECTED | BACKEND_UNRESOLVED)));
}

static void write_backend_enabled(struct sample *s)
{
    value_u64(s, !(state_of(s) & (BACKEND_DRAIN | BACKEND_DISABLED)));
}

static void write_backend_weight(struct sample *s)
{
    value_u64(s, look_weight(s->backend));
}

static void write_backend_in_flight(struct sample *s)
{
    value_u64(s, look_in_flight(s->backend));
}

static bool backend_sum(const struct sample *s, struct board_sum *sum)
{
    *sum = (struct board_sum){0};
    return board_backend(s->board, s->backend->key, sum);
}

static void write_backend_duration(struct sample *s)
{
    struct board_sum sum;
    if (backend_sum(s, &sum))
        histogram(s, &sum.latency);
}

static void write_backend_failures(struct sample *s)
{
    struct board_sum sum;
    backend_sum(s, &sum);
    value_u64(s, sum.failures);
}

static void write_backend_retries(struct sample *s)
{
    struct board_sum sum;
    backend_sum(s, &sum);
    value_u64(s, sum.retries);
}

static void write_backend_connect_errors(struct sample *s)
{
    uint64_t errors[BOARD_CONNECT_REASONS] = {0};
    board_backend_connect_errors(s->board, s->backend->key, errors);
    for (size_t i = 0; i < BOARD_CONNECT_REASONS; i++) {
        if (errors[i] > 0)
            labelled(s, "reason", reason_name(board_connect_reason(i)), errors[i]);
    }
}

static void write_backend_bytes(struct sample *s)
{
    struct board_sum sum;
    backend_sum(s, &sum);
    labelled(s, "direction", "in", sum.bytes_in);
    labelled(s, "direction", "out", sum.bytes_out);
}

/* ---- objects of a scope: each writes what follows *at, and returns how many objects it saw; less
 * than `most` when there are no more ---- */

static uint32_t each_listener(struct sample *s, sample_fn *write, struct metrics_at *at,
                              uint32_t most)
{
    uint32_t n = 0;
    for (; n < most && at->index < s->view->front_count; n++, at->index++) {
        s->index = at->index;
        s->front = s->view->fronts[at->index];
        s->listener = &s->view->snapshot->listeners[at->index];
        const char *words[] = {"listener", s->listener->name};
        if (set_labels(s, words, ARRAY_LEN(words)))
            write(s);
    }
    return n;
}

/* The pool of the view that has this number, or NULL. */
static const struct pool *pool_of(const struct steer_view *view, uint32_t number)
{
    /* Numbers are those of the view's order until reloads have mixed them. */
    if (number < view->pool_count && view->pools[number]->key.number == number)
        return view->pools[number];
    for (size_t i = 0; i < view->pool_count; i++) {
        if (view->pools[i]->key.number == number)
            return view->pools[i];
    }
    return NULL;
}

static uint32_t each_pair(struct sample *s, sample_fn *write, struct metrics_at *at, uint32_t most)
{
    uint32_t n = 0;
    while (n < most && at->index < s->view->front_count) {
        n++;
        s->front = s->view->fronts[at->index];
        s->listener = &s->view->snapshot->listeners[at->index];
        uint32_t number;
        if (!board_next_pool(s->board, s->front->key, &at->slot, &number)) {
            at->index++;
            at->slot = 0;
            continue;
        }
        s->pool = number == BOARD_NO_POOL ? NULL : pool_of(s->view, number);
        if (!s->pool && number != BOARD_NO_POOL)
            continue; /* it has gone */
        const char *words[] = {"listener", s->listener->name, "pool",
                               s->pool ? look_pool_conf(s->pool)->name : ""};
        if (set_labels(s, words, ARRAY_LEN(words)))
            write(s);
    }
    return n;
}

static uint32_t each_pool(struct sample *s, sample_fn *write, struct metrics_at *at, uint32_t most)
{
    uint32_t n = 0;
    for (; n < most && at->index < s->view->pool_count; n++, at->index++) {
        s->pool = s->view->pools[at->index];
        const char *words[] = {"pool", look_pool_conf(s->pool)->name};
        if (set_labels(s, words, ARRAY_LEN(words)))
            write(s);
    }
    return n;
}

static uint32_t each_backend(struct sample *s, sample_fn *write, struct metrics_at *at,
                             uint32_t most)
{
    uint32_t n = 0;
    while (n < most && at->index < s->view->pool_count) {
        n++;
        s->pool = s->view->pools[at->index];
        if (at->slot >= look_slots(s->pool)) {
            at->index++;
            at->slot = 0;
            continue;
        }
        s->backend = look_backend(s->pool, at->slot++);
        /* Another of its name may be there already. */
        if (!s->backend || (state_of(s) & BACKEND_REMOVED))
            continue;
        const char *words[] = {"pool", look_pool_conf(s->pool)->name, "backend",
                               s->backend->conf->name};
        if (set_labels(s, words, ARRAY_LEN(words)))
            write(s);
    }
    return n;
}

static uint32_t once(struct sample *s, sample_fn *write, struct metrics_at *at, uint32_t most)
{
    (void)most;
    if (at->index++ == 0)
        write(s);
    return 0;
}

typedef uint32_t each_fn(struct sample *s, sample_fn *write, struct metrics_at *at, uint32_t most);

static each_fn *const scopes[] = {
    [SCOPE_PROCESS] = once,   [SCOPE_LISTENER] = each_listener, [SCOPE_PAIR] = each_pair,
    [SCOPE_POOL] = each_pool, [SCOPE_BACKEND] = each_backend,
};

static void heading(struct text *out, const struct metric *m)
{
    text_str(out, "# HELP ");
    text_str(out, m->name);
    text_u8(out, ' ');
    text_str(out, m->help);
    text_str(out, "\n# TYPE ");
    text_str(out, m->name);
    text_u8(out, ' ');
    text_str(out, m->type);
    text_u8(out, '\n');
}

bool metrics_step(struct metrics_at *at, const struct steer_view *view, struct text *out,
                  uint32_t objects)
{
    static const struct metrics_at start;
    if (at->generation != view->generation) {
        *at = start;
        at->generation = view->generation;
        text_cut(out, 0);
    }
    while (objects > 0 && at->family < ARRAY_LEN(metrics) && text_ok(out)) {
        if (at->index == 0 && at->slot == 0)
            heading(out, &metrics[at->family]);
        struct sample s = {.view = view,
                           .board = view->board ? view->board : board_empty(),
                           .out = out,
                           .name = metrics[at->family].name};
        uint32_t n = scopes[writers[at->family].scope](&s, writers[at->family].write, at, objects);
        if (n == objects)
            return true;
        objects -= n;
        at->family++;
        at->index = 0;
        at->slot = 0;
    }
    return at->family < ARRAY_LEN(metrics) && text_ok(out);
}

void metrics_write(const struct steer_view *view, const struct rates *rates, struct text *out)
{
    (void)rates;
    struct metrics_at at = {0};
    while (metrics_step(&at, view, out, METRICS_PIECE))
        ;
}
