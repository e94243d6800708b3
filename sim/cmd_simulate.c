/* SPDX-License-Identifier: MIT */
/* `poise simulate`: results go to stdout, what is wrong or left out to stderr. */
#include "app/cli.h"
#include "app/config_path.h"
#include "app/exit_code.h"
#include "app/term.h"
#include "base/limits.h"
#include "sim/report.h"
#include "sim/simulation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WHY_MAX 65536

/* The runs that were asked for. */
struct runs {
    struct scenario *scenario;
    struct trace *trace;                    /* or NULL */
    const char *policies[SIM_POLICIES_MAX]; /* NULL: as configured */
    struct outcome *outcomes[SIM_POLICIES_MAX];
    size_t count;
};

static int fail(int code, const char *why)
{
    fprintf(stderr, "poise: %s\n", why);
    return code;
}

/* Several lines end with one already. */
static int fail_with_text(int code, const char *why)
{
    size_t n = strlen(why);
    if (n > 0 && why[n - 1] == '\n')
        (void)fputs(why, stderr);
    else
        (void)fail(code, why);
    return code;
}

static int split_policies(struct runs *r, char *words)
{
    char *rest = words;
    r->count = 0;
    for (char *word; rest && (word = strsep(&rest, ",")) != NULL;) {
        if (r->count == SIM_POLICIES_MAX)
            return fail(EXIT_USAGE, "--balance: too many policies");
        if (*word == 0)
            return fail(EXIT_USAGE, "--balance: names of policies with commas between them");
        r->policies[r->count++] = word;
    }
    return EXIT_OK;
}

static void on_note(void *user, const char *sentence)
{
    (void)user;
    fprintf(stderr, "poise: note: %s\n", sentence);
}

static int run_all(struct runs *r, char *why)
{
    int code = EXIT_OK;
    for (size_t i = 0; i < r->count && code == EXIT_OK; i++) {
        struct simulation_options o = {.scenario = r->scenario, .balance = r->policies[i]};
        code = simulation_run(&o, &r->outcomes[i], why, WHY_MAX);
    }
    return code == EXIT_OK ? code : fail_with_text(code, why);
}

static void print_json(const struct runs *r)
{
    json_t *all = json_array();
    for (size_t i = 0; i < r->count; i++)
        (void)json_array_append_new(all, report_json(r->outcomes[i], r->scenario));
    json_t *shown = r->count == 1 ? json_incref(json_array_get(all, 0)) : json_incref(all);
    (void)json_dumpf(shown, stdout, JSON_INDENT(2));
    (void)fputc('\n', stdout);
    json_decref(shown);
    json_decref(all);
}

static int report(const struct runs *r, bool json)
{
    bool good = true;
    for (size_t i = 0; i < r->count; i++)
        good &= report_good(r->outcomes[i], r->scenario);
    if (json)
        print_json(r);
    else if (r->count == 1)
        report_print(r->outcomes[0], r->scenario, stdout);
    else
        report_compare(r->outcomes, r->count, r->scenario, stdout);
    return good ? EXIT_OK : EXIT_RUNTIME;
}

/* The way to a backend and back is in the recorded times, and in the simulation once more. */
static int take_trace(struct runs *r, const char *log, char *why)
{
    int code = trace_read(log, 2 * r->scenario->latency_ns, &r->trace, why, WHY_MAX);
    if (code != EXIT_OK)
        return fail(code, why);
    if (r->trace->skipped > 0)
        fprintf(stderr, "poise: note: %s: lines that are no requests: %zu\n", log,
                r->trace->skipped);
    scenario_take_trace(r->scenario, r->trace);
    if (r->scenario->warm_up_ns < r->scenario->duration_ns)
        return EXIT_OK;
    (void)snprintf(why, WHY_MAX, "%s: it ends before 'warm_up' is over: nothing would be counted",
                   log);
    return fail(EXIT_CONFIG, why);
}

static int simulate(struct runs *r, struct diagnostics *d, const struct cli_args *args, char *why)
{
    int code = simulation_check(r->scenario, d, on_note, NULL, why, WHY_MAX);
    const char *log = cli_text(args, OPT_simulate_trace);
    if (code != EXIT_OK)
        return *why ? fail_with_text(code, why) : code;
    r->scenario->seed = cli_number(args, OPT_simulate_seed, r->scenario->seed);
    if (log)
        code = take_trace(r, log, why);
    if (code == EXIT_OK)
        code = run_all(r, why);
    return code == EXIT_OK ? report(r, cli_has(args, OPT_simulate_json)) : code;
}

static int read_scenario(struct runs *r, const struct cli_args *args, struct diagnostics *d,
                         char *why)
{
    bool traced = cli_has(args, OPT_simulate_trace);
    const char *config = cli_text(args, OPT_simulate_config);
    if (args->operand_count == 1)
        return scenario_read(args->operands[0], traced, d, &r->scenario, why, WHY_MAX);
    diagnostics_init(d, "", span_of(NULL, 0));
    config = config_path_find(config);
    if (config)
        return scenario_of_config(config, &r->scenario, why, WHY_MAX);
    (void)snprintf(why, WHY_MAX, "%s", config_path_none);
    return EXIT_OPEN;
}

static int read_and_simulate(struct runs *r, const struct cli_args *args, char *why)
{
    struct diagnostics d;
    int code = read_scenario(r, args, &d, why);
    if (code == EXIT_OPEN)
        (void)fail(code, why);
    else if (code == EXIT_OK)
        code = simulate(r, &d, args, why);
    if (d.count > 0)
        diagnostics_print(&d, stderr, term_colour(stderr));
    diagnostics_fini(&d);
    return code;
}

/* NULL: the words make sense. */
static const char *misuse(const struct cli_args *args)
{
    bool traced = cli_has(args, OPT_simulate_trace), config = cli_has(args, OPT_simulate_config);
    if (args->operand_count == 0 && !traced)
        return "simulate takes a scenario; see 'poise help simulate'";
    if (config && (args->operand_count == 1 || !traced))
        return "-c names the configuration of a --trace without a scenario";
    return NULL;
}

int cmd_simulate(const struct cli_args *args)
{
    struct runs r = {.count = 1};
    const char *balance = cli_text(args, OPT_simulate_balance);
    if (misuse(args))
        return fail(EXIT_USAGE, misuse(args));
    char *words = balance ? world_must(strdup(balance)) : NULL;
    char *why = world_must(calloc(1, WHY_MAX));
    int code = words ? split_policies(&r, words) : EXIT_OK;
    if (code == EXIT_OK)
        code = read_and_simulate(&r, args, why);
    for (size_t i = 0; i < r.count; i++)
        outcome_free(&r.outcomes[i]);
    scenario_free(&r.scenario);
    trace_free(&r.trace);
    free(why);
    free(words);
    return code;
}
