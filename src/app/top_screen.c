/* SPDX-License-Identifier: MIT */
#include "app/top_screen.h"

#include "app/peek.h"
#include "base/bytes.h"
#include "base/check.h"
#include "base/limits.h"

#include <curses.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KEY_WAIT_MS 100
#define FILTER_MAX  64
#define WHY_MAX     128
#define HEAD_LINES  3 /* process, blank, headings */
#define FOOT_LINES  2 /* message, keys */

enum { PAIR_GOOD = 1, PAIR_WARN, PAIR_BAD };

struct row {
    char pool[NAME_MAX_LEN + 1], backend[ADDRESS_TEXT_MAX], state[16], why[WHY_MAX];
    double weight, in_flight, rate, p50, p99, failed;
};

struct top_screen {
    SCREEN *screen;
    char head[256], message[256], filter[FILTER_MAX];
    bool bad, filtering;
    struct row *rows;
    size_t row_count, row_room;
    struct row **shown; /* sorted and filtered */
    size_t shown_count, chosen, top;
    size_t sort;
};

/* ---- columns ---- */

struct column {
    const char *heading;
    int width; /* negative: to the left */
    int (*compare)(const struct row *a, const struct row *b);
};

static int by_place(const struct row *a, const struct row *b)
{
    int pools = strcmp(a->pool, b->pool);
    return pools ? pools : strcmp(a->backend, b->backend);
}

static int by_backend(const struct row *a, const struct row *b)
{
    return strcmp(a->backend, b->backend);
}

static int by_state(const struct row *a, const struct row *b)
{
    return (int)peek_tone(b->state) - (int)peek_tone(a->state);
}

#define BY(field)                                                   \
    static int by_##field(const struct row *a, const struct row *b) \
    {                                                               \
        return (a->field < b->field) - (a->field > b->field);       \
    }
BY(weight)
BY(in_flight)
BY(rate)
BY(p50)
BY(p99)
BY(failed)
#undef BY

static const struct column columns[] = {
    {"POOL", -14, by_place},  {"BACKEND", -18, by_backend},   {"STATE", -10, by_state},
    {"WEIGHT", 6, by_weight}, {"IN FLIGHT", 9, by_in_flight}, {"REQ/S", 8, by_rate},
    {"P50 MS", 8, by_p50},    {"P99 MS", 8, by_p99},          {"FAILED", 8, by_failed},
};

/* ---- rows ---- */

static void set_text(char *out, size_t size, const char *text)
{
    struct writer w = writer_of(out, size);
    w_escaped(&w, span_of(text, strnlen(text, size - 1)));
    (void)w_cstr(&w);
}

static void add_row(void *user, const json_t *pool, const json_t *backend)
{
    struct top_screen *s = user;
    if (s->row_count == s->row_room) {
        s->row_room = MAX(2 * s->row_room, (size_t)64);
        s->rows = reallocarray(s->rows, s->row_room, sizeof(s->rows[0]));
        s->shown = reallocarray(s->shown, s->row_room, sizeof(s->shown[0]));
        CHECK(s->rows && s->shown);
    }
    struct row *r = &s->rows[s->row_count++];
    set_text(r->pool, sizeof(r->pool), peek_text(pool, "name"));
    set_text(r->backend, sizeof(r->backend), peek_text(backend, "name"));
    set_text(r->state, sizeof(r->state), peek_text(backend, "state"));
    set_text(r->why, sizeof(r->why), peek_text(backend, "reason_text"));
    r->weight = peek_number(backend, "weight");
    r->in_flight = peek_number(backend, "in_flight");
    r->rate = peek_number(backend, "requests_per_second");
    r->p50 = peek_number(backend, "latency_ms.p50");
    r->p99 = peek_number(backend, "latency_ms.p99");
    r->failed = peek_number(backend, "failures");
}

static bool passes(const struct top_screen *s, const struct row *r)
{
    return !s->filter[0] || strstr(r->pool, s->filter) || strstr(r->backend, s->filter) ||
           strstr(r->state, s->filter) || strstr(r->why, s->filter);
}

static int compare_rows(const void *a, const void *b, void *user)
{
    const struct row *x = *(struct row *const *)a, *y = *(struct row *const *)b;
    const struct top_screen *s = user;
    int order = columns[s->sort].compare(x, y);
    return order ? order : by_place(x, y);
}

static void arrange(struct top_screen *s)
{
    s->shown_count = 0;
    for (size_t i = 0; i < s->row_count; i++) {
        if (passes(s, &s->rows[i]))
            s->shown[s->shown_count++] = &s->rows[i];
    }
    if (s->shown_count)
        qsort_r(s->shown, s->shown_count, sizeof(s->shown[0]), compare_rows, s);
    if (s->chosen >= s->shown_count)
        s->chosen = s->shown_count ? s->shown_count - 1 : 0;
}

/* The cursor stays on its backend, wherever the new order puts it. */
static void choose(struct top_screen *s, const char *pool, const char *backend)
{
    for (size_t i = 0; i < s->shown_count; i++) {
        if (strcmp(s->shown[i]->pool, pool) == 0 && strcmp(s->shown[i]->backend, backend) == 0)
            s->chosen = i;
    }
}

static void set_head(struct top_screen *s, const json_t *status)
{
    char rate[PEEK_TEXT_MAX], p50[PEEK_TEXT_MAX], p99[PEEK_TEXT_MAX], age[PEEK_TEXT_MAX];
    (void)snprintf(s->head, sizeof(s->head),
                   "Poise %s  %s for %s   %s req/s   p50 %s  p99 %s   %.0f under way   %.0f of "
                   "%.0f backends up",
                   peek_text(status, "version"), peek_text(status, "state"),
                   peek_age(age, peek_number(status, "uptime_ms")),
                   peek_rate(rate, peek_number(status, "requests_per_second")),
                   peek_ms(p50, status, "latency_ms.p50"), peek_ms(p99, status, "latency_ms.p99"),
                   peek_number(status, "in_flight"), peek_number(status, "backends.up"),
                   peek_number(status, "backends.total"));
}

void top_screen_feed(struct top_screen *s, const json_t *status, const json_t *pools)
{
    struct row before = {0};
    if (s->shown_count)
        before = *s->shown[s->chosen];
    s->row_count = 0;
    set_head(s, status);
    peek_backends(pools, add_row, s);
    arrange(s);
    choose(s, before.pool, before.backend);
    if (s->bad)
        top_screen_say(s, false, "%s", "");
}

/* ---- drawing ---- */

static attr_t tone_attr(const char *state)
{
    static const short pairs[] = {0, PAIR_GOOD, PAIR_WARN, PAIR_BAD};
    return has_colors() && !getenv("NO_COLOR") ? (attr_t)COLOR_PAIR(pairs[peek_tone(state)])
                                               : A_NORMAL;
}

static void draw_headings(const struct top_screen *s, int line)
{
    int at = 0;
    for (size_t i = 0; i < ARRAY_LEN(columns); i++) {
        attr_t attr = A_BOLD | (i == s->sort ? A_UNDERLINE : 0);
        attron(attr);
        mvprintw(line, at, "%*s", columns[i].width, columns[i].heading);
        attroff(attr);
        at += abs(columns[i].width) + 1;
    }
    attron(A_BOLD);
    mvaddstr(line, at, " WHY");
    attroff(A_BOLD);
}

static void draw_row(const struct row *r, int line, bool chosen)
{
    if (chosen)
        attron(A_REVERSE);
    mvprintw(line, 0, "%-14.14s %-18.18s ", r->pool, r->backend);
    attr_t attr = tone_attr(r->state);
    attron(attr);
    printw("%-10.10s", r->state);
    attroff(attr);
    printw(" %6.0f %9.0f %8.1f %8.2f %8.2f %8.0f  %s", r->weight, r->in_flight, r->rate, r->p50,
           r->p99, r->failed, r->why);
    clrtoeol();
    if (chosen)
        attroff(A_REVERSE);
}

static void draw_foot(const struct top_screen *s)
{
    attr_t attr = s->bad && has_colors() ? (attr_t)COLOR_PAIR(PAIR_BAD) : A_NORMAL;
    if (s->filtering || s->filter[0]) {
        mvprintw(LINES - 2, 0, "filter: %s%s", s->filter, s->filtering ? "_" : "");
    } else {
        attron(attr);
        mvaddnstr(LINES - 2, 0, s->message, COLS);
        attroff(attr);
    }
    attron(A_DIM);
    mvaddnstr(LINES - 1, 0,
              "d drain  e enable  x disable  +/- weight  s sort  / filter  p pause  q quit", COLS);
    attroff(A_DIM);
}

static void draw(struct top_screen *s)
{
    int room = MAX(LINES - HEAD_LINES - FOOT_LINES, 1);
    if (s->chosen < s->top)
        s->top = s->chosen;
    if (s->chosen >= s->top + (size_t)room)
        s->top = s->chosen - (size_t)room + 1;
    erase();
    mvaddnstr(0, 0, s->head, COLS);
    draw_headings(s, 2);
    for (int i = 0; i < room && s->top + (size_t)i < s->shown_count; i++) {
        size_t at = s->top + (size_t)i;
        draw_row(s->shown[at], HEAD_LINES + i, at == s->chosen);
    }
    draw_foot(s);
    refresh();
}

/* ---- keys ---- */

static void move_by(struct top_screen *s, long by)
{
    long at = (long)s->chosen + by;
    long last = (long)s->shown_count - 1;
    s->chosen = (size_t)MAX(0L, MIN(at, last));
}

static void edit_filter(struct top_screen *s, int key)
{
    size_t n = strlen(s->filter);
    if (key == '\n' || key == KEY_ENTER || key == 27) {
        s->filtering = false;
        if (key == 27)
            s->filter[0] = '\0';
    } else if ((key == KEY_BACKSPACE || key == 127 || key == 8) && n > 0) {
        s->filter[n - 1] = '\0';
    } else if (key > 0 && key < 127 && ascii_is_printable((uint8_t)key) && n + 1 < FILTER_MAX) {
        s->filter[n] = (char)key;
        s->filter[n + 1] = '\0';
    }
    arrange(s);
}

static void show_key(struct top_screen *s, int key)
{
    int page = MAX(LINES - HEAD_LINES - FOOT_LINES, 1);
    switch (key) {
    case KEY_UP:
    case 'k': move_by(s, -1); break;
    case KEY_DOWN:
    case 'j': move_by(s, 1); break;
    case KEY_PPAGE: move_by(s, -page); break;
    case KEY_NPAGE: move_by(s, page); break;
    case KEY_HOME: s->chosen = 0; break;
    case KEY_END: move_by(s, (long)s->shown_count); break;
    case 's':
        s->sort = (s->sort + 1) % ARRAY_LEN(columns);
        arrange(s);
        break;
    case '/': s->filtering = true; break;
    case 27:
        s->filter[0] = '\0';
        arrange(s);
        break;
    default: break;
    }
}

enum top_key top_screen_key(struct top_screen *s)
{
    draw(s);
    int key = getch();
    if (key == ERR)
        return TOP_KEY_NONE;
    if (s->filtering) {
        edit_filter(s, key);
        return TOP_KEY_NONE;
    }
    switch (key) {
    case 'q':
    case 'Q': return TOP_KEY_QUIT;
    case 'd': return TOP_KEY_DRAIN;
    case 'e': return TOP_KEY_ENABLE;
    case 'x': return TOP_KEY_DISABLE;
    case '+': return TOP_KEY_HEAVIER;
    case '-': return TOP_KEY_LIGHTER;
    case 'p': return TOP_KEY_PAUSE;
    default: show_key(s, key); return TOP_KEY_NONE;
    }
}

bool top_screen_chosen(const struct top_screen *s, const char **ret_pool, const char **ret_backend)
{
    if (s->shown_count == 0)
        return false;
    *ret_pool = s->shown[s->chosen]->pool;
    *ret_backend = s->shown[s->chosen]->backend;
    return true;
}

double top_screen_weight(const struct top_screen *s)
{
    return s->shown_count ? s->shown[s->chosen]->weight : -1;
}

void top_screen_say(struct top_screen *s, bool bad, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(s->message, sizeof(s->message), format, args);
    va_end(args);
    s->bad = bad;
}

/* ---- the terminal ---- */

bool top_screen_open(struct top_screen **ret_screen)
{
    struct top_screen *s = calloc(1, sizeof(*s));
    if (!s)
        return false;
    s->screen = newterm(NULL, stdout, stdin);
    if (!s->screen) {
        free(s);
        return false;
    }
    set_escdelay(25);
    cbreak();
    noecho();
    curs_set(0);
    keypad(stdscr, TRUE);
    timeout(KEY_WAIT_MS);
    if (has_colors()) {
        start_color();
        use_default_colors();
        init_pair(PAIR_GOOD, COLOR_GREEN, -1);
        init_pair(PAIR_WARN, COLOR_YELLOW, -1);
        init_pair(PAIR_BAD, COLOR_RED, -1);
    }
    *ret_screen = s;
    return true;
}

void top_screen_close(struct top_screen **screen)
{
    struct top_screen *s = *screen;
    if (!s)
        return;
    endwin();
    delscreen(s->screen);
    free(s->rows);
    free(s->shown);
    free(s);
    *screen = NULL;
}
