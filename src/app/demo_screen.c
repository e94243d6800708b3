/* SPDX-License-Identifier: MIT */
#include "app/demo_screen.h"

#include "app/term.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/str.h"

#include <stdarg.h>
#include <stdio.h>

#define BAR_COLUMNS 40

void demo_screen_init(struct demo_screen *s, bool silent)
{
    *s = (struct demo_screen){
        .live = term_live(stdout), .colour = term_colour(stdout), .silent = silent};
}

static void erase(struct demo_screen *s)
{
    if (s->drawn)
        printf("\033[%zuA\033[J", s->drawn);
    s->drawn = 0;
}

void demo_screen_say(struct demo_screen *s, const char *format, ...)
{
    if (s->silent)
        return;
    va_list args;
    va_start(args, format);
    erase(s);
    vprintf(format, args);
    putchar('\n');
    va_end(args);
    (void)fflush(stdout);
}

static void draw_row(const struct demo_screen *s, const struct demo_row *row, uint64_t count,
                     uint64_t per_s, uint64_t per_s_max)
{
    const char *colour = !s->colour ? "" : row->good ? "\033[32m" : "\033[31m";
    size_t bar = per_s_max ? (size_t)(per_s * BAR_COLUMNS / per_s_max) : 0;
    printf("  %-4s %s%-8s%s %9llu  %5llu/s  ", row->name, colour, row->state,
           s->colour ? "\033[0m" : "", (unsigned long long)count, (unsigned long long)per_s);
    for (size_t i = 0; i < bar; i++)
        putchar('#');
    putchar('\n');
}

static void draw_total(uint64_t at_ms, uint64_t until_ms, const struct traffic_report *report)
{
    char text[FORMAT_SHORT_MAX];
    uint64_t p99_ns = histogram_quantile(&report->latency_us, 0.99) * NS_PER_US;
    printf("  %llu.%llu s of %llu s: %llu requests, %llu failed, p99 %s\n",
           (unsigned long long)(at_ms / 1000), (unsigned long long)(at_ms % 1000 / 100),
           (unsigned long long)(until_ms / 1000),
           (unsigned long long)(report->answered + report->failed),
           (unsigned long long)report->failed, format_duration_human_ns(text, p99_ns));
}

static void draw_table(struct demo_screen *s, uint64_t at_ms, uint64_t until_ms,
                       const struct demo_row *rows, size_t row_count,
                       const struct traffic_report *report)
{
    uint64_t counts[ARRAY_LEN(s->counts_before)], per_s[ARRAY_LEN(counts)], most = 1;
    uint64_t passed_ms = MAX(at_ms - s->drawn_ms, (uint64_t)1);
    for (size_t i = 0; i < row_count; i++) {
        counts[i] = traffic_tally_of(&report->backends, rows[i].name);
        per_s[i] = (counts[i] - s->counts_before[i]) * 1000 / passed_ms;
        most = MAX(most, per_s[i]);
    }
    erase(s);
    putchar('\n');
    for (size_t i = 0; i < row_count; i++) {
        draw_row(s, &rows[i], counts[i], per_s[i], most);
        s->counts_before[i] = counts[i];
    }
    draw_total(at_ms, until_ms, report);
    s->drawn = row_count + 2;
}

static void print_line(uint64_t at_ms, const struct demo_row *rows, size_t row_count,
                       const struct traffic_report *report)
{
    printf("%4llu s  %6llu requests, %llu failed:", (unsigned long long)((at_ms + 500) / 1000),
           (unsigned long long)(report->answered + report->failed),
           (unsigned long long)report->failed);
    for (size_t i = 0; i < row_count; i++)
        printf("  %s %llu", rows[i].name,
               (unsigned long long)traffic_tally_of(&report->backends, rows[i].name));
    putchar('\n');
}

void demo_screen_update(struct demo_screen *s, uint64_t at_ms, uint64_t until_ms,
                        const struct demo_row *rows, size_t row_count,
                        const struct traffic_report *report)
{
    uint64_t every_ms = s->live ? 250 : 1000;
    CHECK(row_count <= ARRAY_LEN(s->counts_before));
    if (s->silent || at_ms < s->drawn_ms + every_ms)
        return;
    if (s->live)
        draw_table(s, at_ms, until_ms, rows, row_count, report);
    else
        print_line(at_ms, rows, row_count, report);
    s->drawn_ms = at_ms;
    (void)fflush(stdout);
}

void demo_screen_end(struct demo_screen *s)
{
    s->drawn = 0;
}
