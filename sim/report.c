/* SPDX-License-Identifier: MIT */
#include "sim/report.h"

#include "app/table.h"
#include "base/check.h"
#include "base/str.h"

/* Fewer answers than this many times 1 / (1 - quantile) say nothing about it. */
#define QUANTILE_EVIDENCE 10

#define LINES_SHOWN 40

static bool is_known(const struct outcome *o, double quantile)
{
    return (double)o->total.ok * (1 - quantile) >= QUANTILE_EVIDENCE;
}

static const double quantiles[] =
    {[EXPECT_P50] = 0.5, [EXPECT_P90] = 0.9, [EXPECT_P99] = 0.99, [EXPECT_P999] = 0.999};

double report_metric(const struct outcome *o, size_t metric)
{
    switch ((enum expect_metric)metric) {
    case EXPECT_REQUESTS: return (double)o->total.requests;
    case EXPECT_OK: return (double)o->total.ok;
    case EXPECT_FAILED: return (double)o->total.failed;
    case EXPECT_RETRIES: return (double)o->retries;
    case EXPECT_MEAN: return histogram_mean(&o->total.latency);
    case EXPECT_MAX: return (double)histogram_max(&o->total.latency);
    case EXPECT_P50:
    case EXPECT_P90:
    case EXPECT_P99:
    case EXPECT_P999: return (double)histogram_quantile(&o->total.latency, quantiles[metric]);
    case EXPECT_METRICS: break;
    }
    CHECK_FAIL("no such metric");
}

bool report_holds(const struct outcome *o, size_t metric, const struct scenario_expect *e)
{
    double value = report_metric(o, metric);
    if (metric >= EXPECT_MEAN && o->total.ok == 0)
        return false; /* of no answer there is no time */
    if (e->share)
        value = o->total.requests ? value / (double)o->total.requests : 0;
    switch (e->relation) {
    case EXPECT_EQUAL: return value >= e->value && value <= e->value;
    case EXPECT_BELOW: return value < e->value;
    case EXPECT_UP_TO: return value <= e->value;
    case EXPECT_ABOVE: return value > e->value;
    case EXPECT_AT_LEAST: return value >= e->value;
    }
    return false;
}

bool report_good(const struct outcome *o, const struct scenario *s)
{
    bool good = o->stuck == 0;
    for (size_t i = 0; i < EXPECT_METRICS; i++)
        good &= !s->expects[i].given || report_holds(o, i, &s->expects[i]);
    return good;
}

/* ---- for people ---- */

static const char *time_text(char buf[FORMAT_SHORT_MAX], double ns)
{
    return format_duration_human_ns(buf, (uint64_t)ns);
}

static void metric_text(const struct outcome *o, size_t metric, char *out, size_t size)
{
    char buf[FORMAT_SHORT_MAX];
    bool is_quantile = metric >= EXPECT_P50 && metric <= EXPECT_P999;
    if (metric < EXPECT_MEAN)
        (void)snprintf(out, size, "%.0f", report_metric(o, metric));
    else if (o->total.ok == 0 || (is_quantile && !is_known(o, quantiles[metric])))
        (void)snprintf(out, size, "-");
    else
        (void)snprintf(out, size, "%s", time_text(buf, report_metric(o, metric)));
}

static double share(uint64_t part, uint64_t whole)
{
    return whole ? 100 * (double)part / (double)whole : 0;
}

static void print_failures(const struct outcome *o, FILE *out)
{
    const char *before = "  ";
    for (size_t i = 0; i < CROWD_FAILURES; i++) {
        if (o->total.failures[i] == 0)
            continue;
        (void)fprintf(out, "%s%s %llu", before, crowd_failure_name(i),
                      (unsigned long long)o->total.failures[i]);
        before = ", ";
    }
    (void)fputc('\n', out);
}

static void print_totals(const struct outcome *o, FILE *out)
{
    const struct crowd_stats *t = &o->total;
    double seconds = (double)o->measured_ns / 1e9;
    (void)fprintf(out, "requests  %llu (%.1f/s)\n", (unsigned long long)t->requests,
                  (double)t->requests / seconds);
    (void)fprintf(out, "ok        %llu (%.3f %%)\n", (unsigned long long)t->ok,
                  share(t->ok, t->requests));
    (void)fprintf(out, "failed    %llu", (unsigned long long)t->failed);
    print_failures(o, out);
    (void)fprintf(out, "retries   %llu\n", (unsigned long long)o->retries);
    (void)fputs("latency  ", out);
    for (size_t i = EXPECT_MEAN; i < EXPECT_METRICS; i++) {
        char text[FORMAT_SHORT_MAX];
        metric_text(o, i, text, sizeof(text));
        (void)fprintf(out, " %s %s ", expect_metric_name(i), text);
    }
    (void)fputs("\n\n", out);
}

static void put_time(struct table *t, double ns, bool known)
{
    char text[FORMAT_SHORT_MAX];
    table_cell(t, TONE_PLAIN, known ? time_text(text, ns) : "-");
}

static void put_backend(struct table *t, const struct outcome *o, const struct outcome_backend *b,
                        uint64_t all)
{
    const struct server_stats *s = &b->stats;
    double slot_ns = (double)b->slots * (double)o->measured_ns;
    table_cell(t, TONE_PLAIN, b->pool);
    table_cell(t, TONE_PLAIN, b->name);
    table_cellf(t, TONE_PLAIN, "%llu", (unsigned long long)s->requests);
    table_cellf(t, TONE_PLAIN, "%.1f %%", share(s->requests, all));
    table_cellf(t, TONE_PLAIN, "%llu", (unsigned long long)(s->errors + s->refused + s->lost));
    if (b->slots)
        table_cellf(t, TONE_PLAIN, "%.1f %%", 100 * (double)s->busy_ns / slot_ns);
    else
        table_cell(t, TONE_PLAIN, "-");
    table_cellf(t, TONE_PLAIN, "%.2f", ((double)s->busy_ns) / (double)o->measured_ns);
    table_cellf(t, TONE_PLAIN, "%u", s->here_peak);
    put_time(t, s->requests ? (double)s->queued_ns / (double)s->requests : 0, s->requests > 0);
    table_cellf(t, TONE_PLAIN, "%u", s->queue_peak);
}

static void print_backends(const struct outcome *o, FILE *out)
{
    static const char *const columns[] = {"pool",  "backend", ">requests",  ">share", ">failed",
                                          ">busy", ">served", ">most here", ">waits", ">queue"};
    struct table *t = table_new(columns, ARRAY_LEN(columns));
    uint64_t all = 0;
    for (size_t i = 0; i < o->backend_count; i++)
        all += o->backends[i].stats.requests;
    for (size_t i = 0; t && i < o->backend_count; i++)
        put_backend(t, o, &o->backends[i], all);
    if (t)
        table_print(t, out, "there are no backends");
    table_free(&t);
    (void)fputc('\n', out);
}

static void put_group(struct table *t, const struct outcome_clients *c)
{
    static const double shown[] = {0.5, 0.99};
    table_cell(t, TONE_PLAIN, c->name);
    table_cellf(t, TONE_PLAIN, "%llu", (unsigned long long)c->stats.requests);
    table_cellf(t, TONE_PLAIN, "%llu", (unsigned long long)c->stats.failed);
    put_time(t, histogram_mean(&c->stats.latency), c->stats.ok > 0);
    for (size_t i = 0; i < ARRAY_LEN(shown); i++)
        put_time(t, (double)histogram_quantile(&c->stats.latency, shown[i]),
                 (double)c->stats.ok * (1 - shown[i]) >= QUANTILE_EVIDENCE);
}

static void print_groups(const struct outcome *o, FILE *out)
{
    static const char *const columns[] = {"clients", ">requests", ">failed",
                                          ">mean",   ">p50",      ">p99"};
    if (o->client_count < 2)
        return;
    struct table *t = table_new(columns, ARRAY_LEN(columns));
    for (size_t i = 0; t && i < o->client_count; i++)
        put_group(t, &o->clients[i]);
    if (t)
        table_print(t, out, "");
    table_free(&t);
    (void)fputc('\n', out);
}

static void print_balancers(const struct outcome *o, FILE *out)
{
    static const char *const columns[] = {"balancer", ">workers", ">exchanges", ">retries"};
    if (o->balancer_count < 2)
        return;
    struct table *t = table_new(columns, ARRAY_LEN(columns));
    for (size_t i = 0; t && i < o->balancer_count; i++) {
        const struct outcome_balancer *b = &o->balancers[i];
        table_cell(t, TONE_PLAIN, b->name);
        table_cellf(t, TONE_PLAIN, "%u", b->workers);
        table_cellf(t, TONE_PLAIN, "%llu", (unsigned long long)b->exchanges);
        table_cellf(t, TONE_PLAIN, "%llu", (unsigned long long)b->retries);
    }
    if (t)
        table_print(t, out, "");
    table_free(&t);
    (void)fputc('\n', out);
}

/* Starting and ending is no news. */
static bool is_news(const struct outcome_line *line)
{
    return line->level <= LOG_LEVEL_WARN ||
           (line->level == LOG_LEVEL_INFO && strcmp(line->area, "engine") != 0 &&
            strcmp(line->area, "worker") != 0);
}

static void print_lines(const struct outcome *o, FILE *out)
{
    size_t shown = 0, news = 0;
    for (size_t i = 0; i < o->line_count; i++) {
        const struct outcome_line *line = &o->lines[i];
        if (!is_news(line) || ++news > LINES_SHOWN)
            continue;
        shown++;
        (void)fprintf(out, "%12.6fs  %-8s  %-7s  %s\n", (double)line->at_ns / 1e9, line->who,
                      line->area, line->message);
    }
    if (news > shown || o->lines_dropped)
        (void)fprintf(out, "… %zu more\n", news - shown + o->lines_dropped);
    if (news > 0)
        (void)fputc('\n', out);
}

static void print_expects(const struct outcome *o, const struct scenario *s, FILE *out)
{
    for (size_t i = 0; i < EXPECT_METRICS; i++) {
        char text[FORMAT_SHORT_MAX];
        const struct scenario_expect *e = &s->expects[i];
        if (!e->given)
            continue;
        bool few =
            o->total.ok > 0 && i >= EXPECT_P50 && i <= EXPECT_P999 && !is_known(o, quantiles[i]);
        metric_text(o, i, text, sizeof(text));
        (void)fprintf(out, "%s  %s %s: it is %s%s\n", report_holds(o, i, e) ? "holds " : "MISSED",
                      expect_metric_name(i), e->text,
                      few ? time_text(text, report_metric(o, i)) : text,
                      few ? ", of too few answers to be sure" : "");
    }
    if (o->stuck)
        (void)fprintf(out,
                      "BROKEN  %llu exchanges are under way although no client is left; this is "
                      "a bug of the balancer\n",
                      (unsigned long long)o->stuck);
}

void report_print(const struct outcome *o, const struct scenario *s, FILE *out)
{
    char measured[FORMAT_SHORT_MAX], warm_up[FORMAT_SHORT_MAX];
    (void)fprintf(out, "%s: %s, seed %llu, %s", s->path, o->balance, (unsigned long long)o->seed,
                  format_duration_human_ns(measured, o->measured_ns));
    if (s->warm_up_ns)
        (void)fprintf(out, " after %s", format_duration_human_ns(warm_up, s->warm_up_ns));
    (void)fprintf(out, ", %zu balancer%s\n\n", o->balancer_count,
                  o->balancer_count == 1 ? "" : "s");
    print_totals(o, out);
    print_groups(o, out);
    print_backends(o, out);
    print_balancers(o, out);
    print_lines(o, out);
    print_expects(o, s, out);
}

/* ---- side by side ---- */

static uint64_t least_and_most(const struct outcome *o, uint64_t *ret_most)
{
    uint64_t least = UINT64_MAX, most = 0;
    for (size_t i = 0; i < o->backend_count; i++) {
        least = MIN(least, o->backends[i].stats.requests);
        most = MAX(most, o->backends[i].stats.requests);
    }
    *ret_most = most;
    return o->backend_count ? least : 0;
}

static void put_run(struct table *t, const struct outcome *o, const struct scenario *s)
{
    uint64_t most;
    uint64_t least = least_and_most(o, &most);
    table_cell(t, TONE_PLAIN, o->balance);
    table_cellf(t, TONE_PLAIN, "%llu", (unsigned long long)o->total.requests);
    table_cellf(t, TONE_PLAIN, "%llu", (unsigned long long)o->total.failed);
    table_cellf(t, TONE_PLAIN, "%llu", (unsigned long long)o->retries);
    for (size_t i = EXPECT_MEAN; i < EXPECT_METRICS; i++) {
        char text[FORMAT_SHORT_MAX];
        metric_text(o, i, text, sizeof(text));
        table_cell(t, TONE_PLAIN, text);
    }
    table_cellf(t, TONE_PLAIN, "%llu", (unsigned long long)least);
    table_cellf(t, TONE_PLAIN, "%llu", (unsigned long long)most);
    table_cell(t, TONE_PLAIN, report_good(o, s) ? "holds" : "MISSED");
}

void report_compare(struct outcome *const *outcomes, size_t count, const struct scenario *s,
                    FILE *out)
{
    static const char *const columns[] = {"policy",  ">requests", ">failed", ">retries", ">mean",
                                          ">p50",    ">p90",      ">p99",    ">p99.9",   ">max",
                                          ">fewest", ">most",     "expected"};
    char measured[FORMAT_SHORT_MAX];
    (void)fprintf(out, "%s: seed %llu, %s\n\n", s->path, (unsigned long long)s->seed,
                  format_duration_human_ns(measured, outcomes[0]->measured_ns));
    struct table *t = table_new(columns, ARRAY_LEN(columns));
    for (size_t i = 0; t && i < count; i++)
        put_run(t, outcomes[i], s);
    if (t)
        table_print(t, out, "");
    table_free(&t);
}
