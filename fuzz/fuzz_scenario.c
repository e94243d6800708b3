/* SPDX-License-Identifier: MIT */
/*
 * Any text is either refused with at least one error, or is a scenario that runs to its end, with
 * nothing left under way. What is large is made small first, so that a run takes milliseconds.
 */
#include "app/exit_code.h"
#include "base/check.h"
#include "sim/report.h"
#include "sim/simulation.h"

#include <stdlib.h>

#define WHY_MAX  65536
#define SHORT_NS UINT64_C(50000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_note(void *user, const char *sentence)
{
    (void)user;
    CHECK(sentence[0] != 0);
}

static void make_small(struct scenario *s)
{
    s->duration_ns = MIN(s->duration_ns, SHORT_NS);
    s->warm_up_ns = MIN(s->warm_up_ns, s->duration_ns / 2);
    s->balancers = MIN(s->balancers, UINT64_C(2));
    s->workers = MIN(s->workers, UINT64_C(2));
    for (size_t i = 0; i < s->client_count; i++) {
        struct crowd_conf *c = &s->clients[i].conf;
        c->rate_per_s = MIN(c->rate_per_s, 1000.0);
        c->connections = MIN(c->connections, 4u);
        c->body_bytes = MIN(c->body_bytes, 65536u);
        c->timeout_ns = MIN(c->timeout_ns, SHORT_NS);
    }
    for (size_t i = 0; i < s->backend_count; i++)
        s->backends[i].conf.body_bytes = MIN(s->backends[i].conf.body_bytes, 65536u);
    for (size_t i = 0; i < s->event_count; i++) {
        if (s->events[i].at_ns >= s->duration_ns)
            s->events[i].at_ns %= s->duration_ns;
    }
}

static void run(struct scenario *s, char *why)
{
    static FILE *nowhere;
    const struct simulation_options options = {.scenario = s};
    struct outcome *o = NULL;
    nowhere = nowhere ? nowhere : fopen("/dev/null", "w");
    make_small(s);
    if (simulation_run(&options, &o, why, WHY_MAX) != EXIT_OK) {
        CHECK(why[0] != 0);
        return;
    }
    CHECK(o->stuck == 0);
    report_print(o, s, nowhere);
    json_t *json = report_json(o, s);
    CHECK(json != NULL);
    json_decref(json);
    outcome_free(&o);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char why[WHY_MAX];
    struct diagnostics d;
    struct scenario *s = NULL;
    int code = scenario_parse("/nowhere/fuzz", span_of(data, size), false, &d, &s);
    CHECK((code == EXIT_OK) == (d.errors == 0));
    if (code == EXIT_OK) {
        code = simulation_check(s, &d, on_note, NULL, why, WHY_MAX);
        CHECK((code == EXIT_OK) == (d.errors == 0 && why[0] == 0));
    }
    if (code == EXIT_OK)
        run(s, why);
    diagnostics_fini(&d);
    scenario_free(&s);
    return 0;
}
