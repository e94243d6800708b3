/* SPDX-License-Identifier: MIT */
/* A question lives from sessions_list to the end of its round. Workers write only their own part of
 * it; the control thread reads the parts when the round is over. */
#include "app/sessions.h"

#include "account/recorder.h"
#include "base/check.h"
#include "forward/client.h"
#include "forward/exchange.h"

#include <stdlib.h>
#include <string.h>

struct sessions {
    struct sessions_options options;
    uint32_t asked;
};

/* Of one worker. */
struct part {
    struct flight_row *rows;
    size_t count;
    uint64_t total;
};

struct question {
    struct grace grace;
    struct sessions *s;
    struct sessions_query query;
    sessions_done_fn *done;
    void *done_user;
    struct part *parts; /* by worker */
};

/* A row with its worker, to be sorted. */
struct found {
    const struct flight_row *row;
    struct flight_view view;
    uint32_t worker;
    char client[ADDRESS_TEXT_MAX];
};

static void question_free(struct question *q)
{
    for (uint32_t i = 0; i < q->s->options.worker_count; i++)
        free(q->parts[i].rows);
    free(q->parts);
    free(q);
}

static void give_room(struct question *q)
{
    for (uint32_t i = 0; i < q->s->options.worker_count; i++)
        q->parts[i].rows = calloc((size_t)q->query.max + 1, sizeof(*q->parts[i].rows));
}

/* Too many at a time, or without memory: a question without room, whose answer is empty. */
static struct question *question_new(struct sessions *s, const struct sessions_query *query)
{
    size_t max = query->recent ? SESSIONS_RECENT_MAX : SESSIONS_SHOWN_MAX;
    struct question *q = calloc(1, sizeof(*q));
    struct part *parts = calloc(s->options.worker_count, sizeof(*parts));
    CHECK(q && parts); /* some hundred bytes */
    q->s = s;
    q->query = *query;
    q->query.max = (uint32_t)MIN((size_t)query->max, max);
    q->parts = parts;
    if (s->asked < SESSIONS_ASKED_MAX)
        give_room(q);
    return q;
}

/* ---- on each worker's thread ---- */

struct taking {
    struct part *part;
    uint32_t max;
};

static void take_exchange(void *user, const struct exchange *x)
{
    const struct taking *t = user;
    struct part *part = t->part;
    struct flight f;
    struct flight_tls tls;
    part->total++;
    if (part->count == t->max || !part->rows)
        return;
    exchange_flight(x, &f, &tls);
    flight_pack(&part->rows[part->count++], &f);
}

static void visit(struct grace *g, struct worker *w)
{
    struct question *q = container_of(g, struct question, grace);
    struct taking taking = {&q->parts[worker_index(w)], q->query.max};
    const struct list *head = &worker_forwarder(w)->client_list;
    uint32_t looked = 0;
    for (const struct list *at = head->next; at != head && looked < SESSIONS_LOOK_MAX;
         at = at->next, looked++)
        client_each_exchange(container_of(at, struct client, link), take_exchange, &taking);
}

/* ---- the answer ---- */

static const char *state_word(uint8_t state)
{
    static const char *const words[] = {
        [EXCHANGE_ROUTING] = "connecting",  [EXCHANGE_QUEUED] = "queued",
        [EXCHANGE_ASKING] = "asking",       [EXCHANGE_CONNECTING] = "connecting",
        [EXCHANGE_SENDING] = "sending",     [EXCHANGE_RESPONDING] = "responding",
        [EXCHANGE_FINISHING] = "finishing", [EXCHANGE_STATES] = "tunnel",
    };
    CHECK(state < ARRAY_LEN(words));
    return words[state];
}

static const char *client_protocol(const struct flight_view *v)
{
    static const char *const words[] = {
        [FLIGHT_TCP] = "tcp",
        [FLIGHT_HTTP_1_0] = "HTTP/1.0",
        [FLIGHT_HTTP_1_1] = "HTTP/1.1",
        [FLIGHT_HTTP_2] = "HTTP/2",
    };
    if (v->state == EXCHANGE_STATES)
        return v->marks & FLIGHT_WEBSOCKET ? "websocket" : "tunnel";
    return words[v->marks & FLIGHT_PROTOCOL];
}

static const char *backend_protocol(const struct flight_view *v)
{
    if (v->backend.n == 0)
        return NULL;
    return !v->http ? "tcp" : v->marks & FLIGHT_BACKEND_HTTP_2 ? "HTTP/2" : "HTTP/1.1";
}

static void fill(struct session *row, const struct found *f, bool recent, uint64_t now_ns,
                 uint64_t now_wall_ms)
{
    const struct flight_view *v = &f->view;
    uint64_t ago_ms = now_ns > v->ended_ns ? (now_ns - v->ended_ns) / 1000000 : 0;
    *row = (struct session){
        .worker = f->worker,
        .client = span_cstr(f->client),
        .listener = v->listener,
        .route = v->route,
        .pool = v->pool,
        .backend = v->backend,
        .method = v->method,
        .target = v->target,
        .host = v->host,
        .tcp = !v->http,
        .client_protocol = client_protocol(v),
        .backend_protocol = backend_protocol(v),
        .tls_version = v->tls.version,
        .tls_cipher = v->tls.cipher,
        .sni = v->tls.sni,
        .backend_tls_version = v->tls.backend_version,
        .backend_tls_cipher = v->tls.backend_cipher,
        .grpc = v->grpc,
        .state = recent ? NULL : state_word(v->state),
        .age_ms = (double)v->total_us / 1000,
        .bytes_in = v->bytes_in,
        .bytes_out = v->bytes_out,
        .retries = v->retries,
        .request_id = v->request_id,
        .status = v->status,
        .reason = v->reason,
        .ended_wall_ms = now_wall_ms - ago_ms,
        .queue_ms = (double)v->queue_us / 1000,
        .connect_ms = (double)v->connect_us / 1000,
        .response_ms = (double)v->response_us / 1000,
        .total_ms = (double)v->total_us / 1000,
    };
}

/* The last to end first; of those under way the oldest. */
static int by_end(const void *a, const void *b)
{
    uint64_t x = ((const struct found *)a)->view.ended_ns;
    uint64_t y = ((const struct found *)b)->view.ended_ns;
    return (x < y) - (x > y);
}

static int by_age(const void *a, const void *b)
{
    uint64_t x = ((const struct found *)a)->view.total_us;
    uint64_t y = ((const struct found *)b)->view.total_us;
    return (x < y) - (x > y);
}

static size_t gather(const struct question *q, struct found *all, uint64_t *ret_total)
{
    size_t n = 0;
    for (uint32_t w = 0; w < q->s->options.worker_count; w++) {
        const struct part *part = &q->parts[w];
        *ret_total += part->total;
        for (size_t i = 0; i < part->count; i++) {
            struct found *f = &all[n++];
            f->row = &part->rows[i];
            f->worker = w;
            flight_view(f->row, &f->view);
            if (f->view.client.kind == ADDRESS_V4 || f->view.client.kind == ADDRESS_V6)
                (void)address_format(&f->view.client, f->client);
            else
                memcpy(f->client, "unix:", sizeof("unix:"));
        }
    }
    return n;
}

static size_t count_rows(const struct question *q)
{
    size_t n = 0;
    for (uint32_t i = 0; i < q->s->options.worker_count; i++)
        n += q->parts[i].count;
    return n;
}

static void answer(struct question *q)
{
    struct loop *loop = q->s->options.loop;
    size_t room = count_rows(q);
    struct found *all = calloc(room + 1, sizeof(*all));
    struct session *rows = calloc((size_t)q->query.max + 1, sizeof(*rows));
    uint64_t total = 0;
    size_t n = 0;
    if (all && rows) {
        n = gather(q, all, &total);
        qsort(all, n, sizeof(*all), q->query.recent ? by_end : by_age);
        n = MIN(n, (size_t)q->query.max);
        for (size_t i = 0; i < n; i++)
            fill(&rows[i], &all[i], q->query.recent, loop_now(loop), loop_wall_ms(loop));
    }
    q->done(q->done_user, total, rows, n);
    free(all);
    free(rows);
}

static void read_recorders(struct question *q)
{
    for (uint32_t i = 0; i < q->s->options.worker_count; i++) {
        const struct recorder *r = worker_forwarder(q->s->options.workers[i])->recorder;
        struct part *part = &q->parts[i];
        part->count = r && part->rows ? recorder_read(r, part->rows, q->query.max) : 0;
        part->total = r ? recorder_count(r) : 0;
    }
}

static void on_done(struct grace *g)
{
    struct question *q = container_of(g, struct question, grace);
    if (q->query.recent)
        read_recorders(q);
    answer(q);
    q->s->asked--;
    question_free(q);
}

/* ---- questions ---- */

void sessions_list(void *user, const struct sessions_query *query, sessions_done_fn *done,
                   void *done_user)
{
    struct sessions *s = user;
    struct question *q = question_new(s, query);
    s->asked++;
    q->done = done;
    q->done_user = done_user;
    q->grace = (struct grace){.visit = query->recent ? NULL : visit, .done = on_done};
    list_init(&q->grace.link);
    grace_begin(s->options.graces, &q->grace);
}

struct sessions *sessions_new(const struct sessions_options *o)
{
    struct sessions *s = calloc(1, sizeof(*s));
    if (s)
        s->options = *o;
    return s;
}

void sessions_free(struct sessions **s)
{
    CHECK(!*s || (*s)->asked == 0);
    free(*s);
    *s = NULL;
}
