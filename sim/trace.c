/* SPDX-License-Identifier: MIT */
/*
 * The log is read line by line; what is not JSON is skipped and counted. Texts are kept once each:
 * logs repeat themselves.
 */
#include "sim/trace.h"

#include "app/exit_code.h"
#include "base/bytes.h"
#include "base/limits.h"
#include "base/map.h"
#include "base/str.h"
#include "sim/world.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_MAX ((size_t)8 << 30)

/* Fewer times of one backend say little: it goes by those of all. */
#define TIMES_MIN 20

#define TEXT_MAX 2048

/* The longest line that the balancer itself writes is far shorter. */
#define LINE_MAX_BYTES 1048576

/* As the longest duration of a scenario. */
#define SPAN_MS_MAX (INT64_C(7) * 86400 * 1000)

struct row {
    struct trace_record record;
    int64_t wall_ms;
    uint64_t took_ns; /* UINT64_MAX: it has none */
    size_t backend;   /* of the reader's; SIZE_MAX: none */
};

struct intake {
    struct trace *trace;
    struct map texts;
    struct row *rows;
    size_t count, room;
    uint64_t way_ns;
};

/* ---- one line ---- */

static const char *keep(struct intake *r, const char *text)
{
    const char *kept = map_get(&r->texts, span_cstr(text));
    if (kept)
        return kept;
    char *copy = world_must(arena_strdup(&r->trace->arena, span_cstr(text)));
    (void)world_must(map_put(&r->texts, span_cstr(copy), copy) == 0 ? copy : NULL);
    return copy;
}

/* Text that can be sent in a head as it is. */
static bool is_plain(const char *text)
{
    size_t n = 0;
    for (; text[n]; n++) {
        if (text[n] <= ' ' || text[n] > '~')
            return false;
    }
    return n > 0 && n <= TEXT_MAX;
}

static const char *text_of(struct intake *r, const json_t *line, const char *key,
                           const char *otherwise)
{
    const char *text = json_string_value(json_object_get(line, key));
    return text && is_plain(text) ? keep(r, text) : otherwise;
}

/* Days since 1970 of a date of the Gregorian calendar. */
static int64_t days_of(int year, int month, int day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = y / 400, of_era = y - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

/* "2026-11-21T09:00:00.123Z", as the access log writes it. */
static bool read_time(const char *text, int64_t *ret_ms)
{
    int year, month, day, hour, minute, second, ms, end = 0;
    if (!text ||
        sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ%n", &year, &month, &day, &hour, &minute, &second,
               &ms, &end) != 7 ||
        end != 24 || text[end] || year < 1970 || month < 1 || month > 12 || day < 1 || day > 31 ||
        hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60 || ms < 0)
        return false;
    *ret_ms = ((days_of(year, month, day) * 24 + hour) * 60 + minute) * 60000 +
              (int64_t)second * 1000 + ms;
    return true;
}

static size_t find_backend(struct intake *r, const char *pool, const char *name)
{
    struct trace *t = r->trace;
    for (size_t i = 0; i < t->backend_count; i++) {
        if (t->backends[i].name == name && t->backends[i].pool == pool)
            return i;
    }
    if (t->backend_count == BACKENDS_MAX)
        return SIZE_MAX;
    t->backends = world_must(realloc(t->backends, (t->backend_count + 2) * sizeof(t->backends[0])));
    t->backends[t->backend_count] = (struct trace_backend){.pool = pool, .name = name};
    return t->backend_count++;
}

static uint64_t took_of(const struct intake *r, const json_t *line)
{
    const json_t *response = json_object_get(line, "response");
    double ns = json_number_value(response) * 1e9;
    if (!json_is_number(response) || ns < 0 || ns > 1e15)
        return UINT64_MAX;
    return (uint64_t)ns > r->way_ns ? (uint64_t)ns - r->way_ns : 0;
}

/* The answer to HEAD has no body, which the models do not know; the rest is as good as GET here. */
static const char *method_to_send(const char *method)
{
    static const char *const same[] = {"POST", "PUT", "DELETE", "OPTIONS", "PATCH"};
    for (size_t i = 0; i < ARRAY_LEN(same); i++) {
        if (strcmp(method, same[i]) == 0)
            return same[i];
    }
    return "GET";
}

static bool take_line(struct intake *r, const json_t *line)
{
    struct row row = {.backend = SIZE_MAX, .took_ns = took_of(r, line)};
    if (!read_time(json_string_value(json_object_get(line, "time")), &row.wall_ms))
        return false;
    row.record.method = method_to_send(text_of(r, line, "method", "GET"));
    row.record.target = text_of(r, line, "target", "/");
    if (row.record.target[0] != '/')
        row.record.target = "/";
    row.record.host = text_of(r, line, "host", "sim.example");
    const char *pool = text_of(r, line, "pool", NULL);
    const char *name = text_of(r, line, "backend", NULL);
    if (pool && name && row.took_ns != UINT64_MAX)
        row.backend = find_backend(r, pool, name);
    if (r->count == r->room) {
        r->room = MAX((size_t)1024, 2 * r->room);
        r->rows = world_must(realloc(r->rows, r->room * sizeof(r->rows[0])));
    }
    r->rows[r->count++] = row;
    return true;
}

/* The next line without its end; false behind the last. SIZE_MAX: it is too long. */
static bool next_line(FILE *file, char *line, size_t *ret_n)
{
    size_t n = 0;
    bool whole = true;
    int c;
    while ((c = getc_unlocked(file)) != EOF && c != '\n') {
        if (n == LINE_MAX_BYTES) {
            whole = false;
            break;
        }
        line[n++] = (char)c;
    }
    *ret_n = whole ? n : SIZE_MAX;
    return c != EOF || n > 0;
}

static int read_lines(struct intake *r, FILE *file, char *why, size_t why_size)
{
    char *text = world_must(malloc(LINE_MAX_BYTES));
    size_t n = 0, lines = 0;
    while (next_line(file, text, &n) && n != SIZE_MAX && lines < SIM_TRACE_MAX) {
        json_t *line = json_loadb(text, n, 0, NULL);
        lines++;
        if (!json_is_object(line) || !take_line(r, line))
            r->trace->skipped++;
        json_decref(line);
    }
    int error = ferror(file) ? errno : 0;
    bool bad = true;
    free(text);
    if (error)
        (void)snprintf(why, why_size, "%s", strerror(error));
    else if (n == SIZE_MAX)
        (void)snprintf(why, why_size, "line %zu is longer than %d bytes: this is no access log",
                       lines + 1, LINE_MAX_BYTES);
    else if (lines == SIM_TRACE_MAX)
        (void)snprintf(why, why_size, "the log has %d lines or more", SIM_TRACE_MAX);
    else if (r->count == 0)
        (void)snprintf(why, why_size,
                       "there is no request in it; it takes what access_log writes in the format "
                       "json");
    else
        bad = false;
    return error ? EXIT_OPEN : bad ? EXIT_CONFIG : EXIT_OK;
}

/* ---- times and ranks ---- */

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Of the same instant the order of the log is kept: the sort need not be stable. */
static int by_time(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    if (x->wall_ms != y->wall_ms)
        return x->wall_ms < y->wall_ms ? -1 : 1;
    return (x->record.luck > y->record.luck) - (x->record.luck < y->record.luck);
}

static void sort_rows(struct intake *r)
{
    for (size_t i = 0; i < r->count; i++)
        r->rows[i].record.luck = i;
    qsort(r->rows, r->count, sizeof(r->rows[0]), by_time);
}

static void add_time(struct trace_backend *b, const struct row *row)
{
    if (b->times_ns)
        b->times_ns[b->count] = row->took_ns;
    b->count++;
}

/* Counts first, then fills. The last backend is that of all. */
static void collect_times(struct intake *r)
{
    struct trace *t = r->trace;
    struct trace_backend *all = &t->backends[t->backend_count];
    for (int pass = 0; pass < 2; pass++) {
        for (size_t k = 0; k <= t->backend_count; k++) {
            struct trace_backend *b = &t->backends[k];
            if (pass == 1)
                b->times_ns = world_must(
                    arena_alloc(&t->arena, (b->count + 1) * sizeof(uint64_t), _Alignof(uint64_t)));
            b->count = 0;
        }
        for (size_t i = 0; i < r->count; i++) {
            if (r->rows[i].backend == SIZE_MAX)
                continue;
            add_time(&t->backends[r->rows[i].backend], &r->rows[i]);
            add_time(all, &r->rows[i]);
        }
    }
    for (size_t k = 0; k <= t->backend_count; k++)
        qsort(t->backends[k].times_ns, t->backends[k].count, sizeof(uint64_t), by_number);
    t->backend_count++;
}

/* The first place of a time among sorted ones that hold it. */
static size_t place_of(const struct trace_backend *b, uint64_t ns)
{
    size_t low = 0, high = b->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (b->times_ns[middle] < ns)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Half a place up, so that drawing by it finds the same place again. */
static uint64_t rank_of(const struct trace *t, const struct row *row)
{
    if (row->backend == SIZE_MAX)
        return UINT64_C(1) << 63;
    const struct trace_backend *b = &t->backends[row->backend];
    if (b->count < TIMES_MIN)
        b = &t->backends[t->backend_count - 1];
    double share = ((double)place_of(b, row->took_ns) + 0.5) / (double)b->count;
    return (uint64_t)(share * 0x1p64);
}

static void take_rows(struct intake *r)
{
    struct trace *t = r->trace;
    int64_t first_ms = r->rows[0].wall_ms;
    t->records = world_must(arena_new_array(&t->arena, struct trace_record, r->count));
    t->count = r->count;
    for (size_t i = 0; i < r->count; i++) {
        t->records[i] = r->rows[i].record;
        t->records[i].at_ns = (uint64_t)(r->rows[i].wall_ms - first_ms) * 1000000;
        t->records[i].luck = rank_of(t, &r->rows[i]);
    }
}

/* ---- the whole ---- */

int trace_read(const char *path, uint64_t way_ns, struct trace **ret_trace, char *ret_why,
               size_t why_size)
{
    FILE *file = fopen(path, "re");
    *ret_trace = NULL;
    if (!file) {
        (void)snprintf(ret_why, why_size, "%s: %s", path, strerror(errno));
        return EXIT_OPEN;
    }
    struct trace *t = world_must(calloc(1, sizeof(*t)));
    struct intake r = {.trace = t, .way_ns = way_ns};
    arena_init(&t->arena, 65536, ARENA_MAX);
    map_init(&r.texts, 1);
    t->backends = world_must(calloc(1, sizeof(t->backends[0])));
    char why[256] = "";
    int code = read_lines(&r, file, why, sizeof(why));
    (void)fclose(file);
    if (code == EXIT_OK)
        sort_rows(&r);
    if (code == EXIT_OK && r.rows[r.count - 1].wall_ms - r.rows[0].wall_ms > SPAN_MS_MAX) {
        (void)snprintf(why, sizeof(why),
                       "from the first request to the last it is more than 7 days");
        code = EXIT_CONFIG;
    }
    if (code == EXIT_OK) {
        t->backends[t->backend_count] = (struct trace_backend){0};
        collect_times(&r);
        take_rows(&r);
    } else {
        (void)snprintf(ret_why, why_size, "%s: %s", path, why);
        trace_free(&t);
    }
    map_fini(&r.texts);
    free(r.rows);
    *ret_trace = t;
    return code;
}

void trace_free(struct trace **trace)
{
    struct trace *t = *trace;
    if (!t)
        return;
    arena_fini(&t->arena);
    free(t->backends);
    free(t);
    *trace = NULL;
}

bool trace_spread(const struct trace *t, const char *pool, const char *backend,
                  struct spread *ret_spread)
{
    const struct trace_backend *found = &t->backends[t->backend_count - 1];
    for (size_t i = 0; i + 1 < t->backend_count; i++) {
        const struct trace_backend *b = &t->backends[i];
        if (b->count >= TIMES_MIN && strcmp(b->pool, pool) == 0 && strcmp(b->name, backend) == 0)
            found = b;
    }
    if (found->count == 0)
        return false;
    *ret_spread = (struct spread){
        .kind = SPREAD_EMPIRICAL, .times_ns = found->times_ns, .time_count = found->count};
    return true;
}
