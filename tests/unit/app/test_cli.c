/* SPDX-License-Identifier: MIT */
/* The command line: what is taken, what is refused, and in which words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "app/cli.h"
#include "app/exit_code.h"
#include "app/help.h"
#include "base/bytes.h"
#include "base/compiler.h"

static char said[4096];
static struct cli_args args;

static int parse(enum verb_id verb, const char *const *words)
{
    union {
        const char *const *in;
        char *const *out;
    } argv = {.in = words};
    int argc = 0;
    while (words[argc])
        argc++;
    FILE *err = fmemopen(said, sizeof(said), "w");
    assert_non_null(err);
    said[0] = '\0';
    int code = cli_parse(verb, argc, argv.out, err, &args);
    (void)fclose(err);
    return code;
}

/* The words live as long as the block in which they are parsed. */
#define PARSE(verb, ...) \
    (cli_args_fini(&args), parse(verb, (const char *const[]){__VA_ARGS__, NULL}))

static int forget(void **state)
{
    (void)state;
    cli_args_fini(&args);
    return 0;
}

static void values_in_every_form(void **state)
{
    (void)state;
    assert_int_equal(
        PARSE(VERB_test_client, "--host", "a", "--port=81", "-n", "7", "-c9", "--http"), 0);
    assert_string_equal(cli_text(&args, OPT_test_client_host), "a");
    assert_int_equal(cli_number(&args, OPT_test_client_port, 1), 81);
    assert_int_equal(cli_number(&args, OPT_test_client_requests, 1), 7);
    assert_int_equal(cli_number(&args, OPT_test_client_concurrency, 1), 9);
    assert_true(cli_has(&args, OPT_test_client_http));
    assert_false(cli_has(&args, OPT_test_client_json));
    assert_null(cli_text(&args, OPT_test_client_path));
    assert_int_equal(cli_number(&args, OPT_test_client_timeout, 10000), 10000);
}

static void units(void **state)
{
    (void)state;
    assert_int_equal(PARSE(VERB_test_server, "--delay=5ms", "--jitter", "1s", "--body-size",
                           "16KiB", "--error-rate", "0.25"),
                     0);
    assert_int_equal(cli_number(&args, OPT_test_server_delay, 0), 5);
    assert_int_equal(cli_number(&args, OPT_test_server_jitter, 0), 1000);
    assert_int_equal(cli_number(&args, OPT_test_server_body_size, 0), 16384);
    assert_true(cli_share(&args, OPT_test_server_error_rate, 0) == 0.25);
}

static void repeated_options_keep_their_order(void **state)
{
    (void)state;
    size_t count;
    assert_int_equal(PARSE(VERB_run, "--backend", "x", "--listen", ":1", "--backend=y", "--mode",
                           "tcp", "--backend", "z"),
                     0);
    const char *const *backends = cli_texts(&args, OPT_run_backend, &count);
    assert_int_equal(count, 3);
    assert_string_equal(backends[0], "x");
    assert_string_equal(backends[1], "y");
    assert_string_equal(backends[2], "z");
    const char *const *listen = cli_texts(&args, OPT_run_listen, &count);
    assert_int_equal(count, 1);
    assert_string_equal(listen[0], ":1");
    assert_string_equal(cli_text(&args, OPT_run_mode), "tcp");
    assert_int_equal(PARSE(VERB_run, "-cx"), 0);
    assert_null(cli_texts(&args, OPT_run_listen, &count));
    assert_int_equal(count, 0);
}

static void operands_and_help(void **state)
{
    (void)state;
    assert_int_equal(PARSE(VERB_help, "run"), 0);
    assert_string_equal(args.operands[0], "run");
    assert_int_equal(PARSE(VERB_help, "--", "--run"), 0);
    assert_string_equal(args.operands[0], "--run");
    assert_int_equal(PARSE(VERB_test_server, "--port", "1", "--help"), 0);
    assert_true(args.help);
    assert_int_equal(PARSE(VERB_test_server, "-h", "--nonsense"), 0);
    assert_true(args.help);
}

static const struct refusal {
    enum verb_id verb;
    const char *words[4];
    const char *sentence;
} refusals[] = {
    {VERB_run, {"--lisen", ":1"}, "'run' has no option '--lisen'; did you mean '--listen'?"},
    {VERB_run, {"--zzzzzzzz"}, "'run' has no option '--zzzzzzzz'\n"},
    {VERB_run, {"--=x"}, "'run' has no option '--'\n"},
    {VERB_run, {"-x"}, "'run' has no option '-x'"},
    {VERB_run, {"--port", "1"}, "'run' has no option '--port'"},
    {VERB_run, {"word"}, "'run' does not take the argument 'word'"},
    {VERB_run, {"-"}, "'run' does not take the argument '-'"},
    {VERB_help, {"run", "check"}, "'help' does not take the argument 'check'"},
    {VERB_run, {"-c", "a", "--config=b"}, "'--config' is given twice"},
    {VERB_run, {"--listen"}, "'--listen' needs a value: --listen ADDR"},
    {VERB_test_client, {"-n"}, "'--requests' needs a value: --requests N"},
    {VERB_test_client, {"--http=yes"}, "'--http' takes no value"},
    {VERB_test_client, {"--port", "0"}, "--port: '0' is not a number from 1 to 65535"},
    {VERB_test_client, {"--port="}, "--port: '' is not a number from 1 to 65535"},
    {VERB_test_client, {"-n", "-1"}, "--requests: '-1' is not a number from 1 to 1000000000000"},
    {VERB_test_client, {"-n", "99999999999999999999"}, "--requests: '99999999999999999999' is not"},
    {VERB_test_client, {"-n", "1x"}, "--requests: '1x' is not a number"},
    {VERB_test_server, {"--delay", "5"}, "--delay: '5' is not a duration such as"},
    {VERB_test_server, {"--body-size", "5k"}, "--body-size: '5k' is not a size such as"},
    {VERB_test_server, {"--error-rate", "1.01"}, "--error-rate: '1.01' is not a share"},
    {VERB_test_server, {"--error-rate", "-0.1"}, "--error-rate: '-0.1' is not a share"},
    {VERB_test_server, {"--error-rate", "nan"}, "--error-rate: 'nan' is not a share"},
    {VERB_test_server, {"--error-rate", "0.1x"}, "--error-rate: '0.1x' is not a share"},
};

static void wrong_words_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
        assert_int_equal(parse(refusals[i].verb, refusals[i].words), EXIT_USAGE);
        if (strncmp(said, "poise: ", 7) != 0 || !strstr(said, refusals[i].sentence))
            fail_msg("expected: %s\nsaid: %s", refusals[i].sentence, said);
        assert_non_null(strstr(said, "\nTry 'poise help "));
        cli_args_fini(&args);
    }
}

static void verbs_are_found(void **state)
{
    (void)state;
    FILE *err = fmemopen(said, sizeof(said), "w");
    assert_int_equal(help_find_verb("test-client", err), VERB_test_client);
    assert_int_equal(help_find_verb("test-clent", err), -1);
    (void)fclose(err);
    assert_string_equal(said, "poise: there is no verb 'test-clent'; did you mean 'test-client'?\n"
                              "Try 'poise help'.\n");
}

/* The table is what people read, so its rows are checked like text. */
static void help_names_everything(void **state)
{
    (void)state;
    static char text[16384];
    for (int verb = 0; verb < VERB_COUNT; verb++) {
        FILE *out = fmemopen(text, sizeof(text), "w");
        help_verb(out, (enum verb_id)verb);
        (void)fclose(out);
        for (int i = 0; i < OPTION_COUNT; i++) {
            char name[64];
            if ((int)option_rows[i].verb != verb)
                continue;
            (void)snprintf(name, sizeof(name), "--%s", option_rows[i].name);
            assert_non_null(strstr(text, name));
        }
        struct span rest = span_cstr(text);
        while (!span_empty(rest))
            assert_true(span_cut(&rest, '\n').n <= 100);
    }
}

static void rows_make_sense(void **state)
{
    (void)state;
    for (int i = 0; i < OPTION_COUNT; i++) {
        const struct option_row *a = &option_rows[i];
        assert_true(a->help[0] && a->name[0] && strcmp(a->name, "help") != 0 && a->letter != 'h');
        assert_int_equal(a->type == OPTION_FLAG, a->argument[0] == '\0');
        assert_int_equal(a->type == OPTION_NUMBER, a->high > 0);
        for (int j = 0; j < i; j++) {
            const struct option_row *b = &option_rows[j];
            if (a->verb != b->verb)
                continue;
            assert_string_not_equal(a->name, b->name);
            assert_true(!a->letter || a->letter != b->letter);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(values_in_every_form, forget),
        cmocka_unit_test_teardown(units, forget),
        cmocka_unit_test_teardown(repeated_options_keep_their_order, forget),
        cmocka_unit_test_teardown(operands_and_help, forget),
        cmocka_unit_test_teardown(wrong_words_are_refused, forget),
        cmocka_unit_test(verbs_are_found),
        cmocka_unit_test(help_names_everything),
        cmocka_unit_test(rows_make_sense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
