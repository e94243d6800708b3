/* SPDX-License-Identifier: MIT */
#include "app/explain_text.h"

#include "base/compiler.h"

#include <string.h>

#define LEAD 11 /* columns of the words at the left */

struct page {
    FILE *out;
    bool colour;
    const char *lead; /* of the next line */
};

static const char *text_of(const json_t *o, const char *key)
{
    const char *text = json_string_value(json_object_get(o, key));
    return text ? text : "";
}

static unsigned long long number_of(const json_t *o, const char *key)
{
    return (unsigned long long)json_integer_value(json_object_get(o, key));
}

static const char *paint(const struct page *p, const char *code)
{
    return p->colour ? code : "";
}

static void lead(struct page *p, const char *word)
{
    fprintf(p->out, "%-*s", LEAD, word ? word : p->lead);
    p->lead = "";
}

/* The widest of a column. */
static int width_of(const json_t *rows, const char *key)
{
    size_t widest = 0;
    size_t i;
    const json_t *row;
    json_array_foreach(rows, i, row) widest = MAX(widest, strlen(text_of(row, key)));
    return (int)widest;
}

/* ---- the parts ---- */

static void put_request(struct page *p, const json_t *e)
{
    if (text_of(e, "method")[0])
        fprintf(p->out, "%s %s://%s%s from %s\n", text_of(e, "method"),
                json_object_get(e, "tls") ? "https" : "http", text_of(e, "host"),
                text_of(e, "path"), text_of(e, "from"));
    else
        fprintf(p->out, "a %s from %s\n",
                strcmp(text_of(e, "protocol"), "tcp") == 0 ? "connection" : "request",
                text_of(e, "from"));
    if (json_is_false(json_object_get(e, "live")))
        fputs("by the file alone: every backend is taken as up and idle\n", p->out);
    fputc('\n', p->out);
}

static void put_routes(struct page *p, const json_t *e)
{
    const json_t *routes = json_object_get(e, "routes");
    int name = width_of(routes, "name"), at = width_of(routes, "at");
    size_t i;
    const json_t *r;
    p->lead = "routes";
    json_array_foreach(routes, i, r)
    {
        bool matched = json_is_true(json_object_get(r, "matched"));
        lead(p, NULL);
        fprintf(p->out, "%s%-*s  %-*s  %s%s\n", paint(p, matched ? "\033[32m" : "\033[2m"), name,
                text_of(r, "name"), at, text_of(r, "at"),
                matched ? "matches" : text_of(r, "because"), paint(p, "\033[0m"));
    }
}

static void put_pool(struct page *p, const json_t *e)
{
    const char *pool = text_of(e, "pool");
    if (!pool[0])
        return;
    lead(p, "pool");
    bool routed = json_is_object(json_object_get(e, "route"));
    bool http = strcmp(text_of(e, "protocol"), "http") == 0;
    fprintf(p->out, "%s, %s%s\n", pool, text_of(e, "balance"),
            http && !routed ? " (the listener's own: no route matches)" : "");
}

static void put_candidate(struct page *p, const json_t *c, int name, int address)
{
    bool eligible = json_is_true(json_object_get(c, "eligible"));
    const json_t *score = json_object_get(c, "score");
    lead(p, NULL);
    fprintf(p->out, "%s%-*s  %-*s  weight %llu  in flight %llu",
            paint(p, eligible ? "" : "\033[2m"), name, text_of(c, "name"), address,
            text_of(c, "address"), number_of(c, "weight"), number_of(c, "in_flight"));
    if (score)
        fprintf(p->out, "  score %.3g", json_number_value(score));
    if (!eligible)
        fprintf(p->out, "  not eligible: %s", text_of(c, "because"));
    fprintf(p->out, "%s\n", paint(p, eligible ? "" : "\033[0m"));
}

static void put_candidates(struct page *p, const json_t *e)
{
    const json_t *list = json_object_get(e, "candidates");
    int name = width_of(list, "name"), address = width_of(list, "address");
    size_t i;
    const json_t *c;
    p->lead = "backends";
    json_array_foreach(list, i, c) put_candidate(p, c, name, address);
    unsigned long long total = number_of(e, "candidates_total");
    if (total > json_array_size(list)) {
        lead(p, NULL);
        fprintf(p->out, "and %llu more\n", total - json_array_size(list));
    }
}

static void put_outcome(struct page *p, const json_t *e)
{
    const char *outcome = text_of(e, "outcome");
    if (text_of(e, "how")[0]) {
        lead(p, "policy");
        fprintf(p->out, "%s\n", text_of(e, "how"));
    }
    lead(p, "outcome");
    if (strcmp(outcome, "forward") == 0)
        fprintf(p->out, "%sforwarded to %s%s\n", paint(p, "\033[1;32m"), text_of(e, "pick"),
                paint(p, "\033[0m"));
    else if (strcmp(outcome, "queue") == 0)
        fputs("waits in the queue of the pool: every backend is at its limit\n", p->out);
    else if (number_of(e, "status") && strcmp(text_of(e, "protocol"), "http") == 0)
        fprintf(p->out, "%sanswered with %llu, %s%s: %s\n", paint(p, "\033[1;31m"),
                number_of(e, "status"), outcome, paint(p, "\033[0m"), text_of(e, "reason_text"));
    else
        fprintf(p->out, "%sclosed, %s%s: %s\n", paint(p, "\033[1;31m"), outcome,
                paint(p, "\033[0m"), text_of(e, "reason_text"));
}

void explain_print(const json_t *explanation, FILE *out, bool colour)
{
    struct page p = {.out = out, .colour = colour, .lead = ""};
    put_request(&p, explanation);
    lead(&p, "listener");
    fprintf(out, "%s  %s\n", text_of(explanation, "listener"), text_of(explanation, "at"));
    put_routes(&p, explanation);
    put_pool(&p, explanation);
    put_candidates(&p, explanation);
    put_outcome(&p, explanation);
}

bool explain_served(const json_t *explanation)
{
    const char *outcome = text_of(explanation, "outcome");
    return strcmp(outcome, "forward") == 0 || strcmp(outcome, "queue") == 0;
}
