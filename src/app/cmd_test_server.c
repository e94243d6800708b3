/* SPDX-License-Identifier: MIT */
#include "app/cli.h"
#include "app/exit_code.h"
#include "app/resolve.h"
#include "app/stop_signal.h"
#include "app/test_server.h"
#include "base/clock.h"
#include "codec/h1.h"
#include "io/listener.h"
#include "io/loop.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int fail(int code, const char *why)
{
    fprintf(stderr, "poise: %s\n", why);
    return code;
}

/* Serves until a signal comes. */
static int serve(struct loop *loop, struct listener *listener,
                 const struct test_server_options *options)
{
    struct signals *stop;
    if (stop_signal_open(loop, &stop) != 0)
        return fail(EXIT_RUNTIME, "cannot wait for signals");
    struct test_server *server = test_server_new(loop, options);
    struct acceptor acceptor = {0};
    int code = EXIT_OK;
    if (acceptor_start(loop, &acceptor, listener, 0, test_server_accepted, server) != 0) {
        code = fail(EXIT_RUNTIME, "cannot accept connections");
    } else {
        char text[ADDRESS_TEXT_MAX];
        (void)address_format(listener_address(listener), text);
        printf("Backend server '%s' listening on %s\n", options->name, text);
        (void)fflush(stdout);
        loop_run(loop);
        acceptor_stop(&acceptor);
    }
    test_server_free(&server);
    signals_close(&stop);
    return code;
}

/* Listens on what `host` means, and serves. */
static int listen_and_serve(struct loop *loop, const char *host, uint16_t port,
                            const struct test_server_options *options)
{
    char why[LISTENER_WHY_MAX];
    struct listener_options listening = {.shards = 1};
    struct listener *listener;
    if (resolve_host(loop, host, port, &listening.address, why, sizeof(why)) != 0 ||
        listener_open(&listening, &listener, why) != 0)
        return fail(EXIT_OPEN, why);
    int code = serve(loop, listener, options);
    listener_close(&listener);
    return code;
}

int cmd_test_server(const struct cli_args *args)
{
    const char *name = cli_text(args, OPT_test_server_name);
    const char *host = cli_text(args, OPT_test_server_host);
    bool verbose = cli_has(args, OPT_test_server_verbose) || isatty(STDOUT_FILENO);
    struct test_server_options options = {
        .name = name ? name : "B1",
        .delay_ms = cli_number(args, OPT_test_server_delay, 0),
        .jitter_ms = cli_number(args, OPT_test_server_jitter, 0),
        .error_rate = cli_share(args, OPT_test_server_error_rate, 0),
        .sized = cli_has(args, OPT_test_server_body_size),
        .body_bytes = cli_number(args, OPT_test_server_body_size, 0),
        .concurrency_max = cli_number(args, OPT_test_server_max_concurrency, 0),
        .log = verbose && !cli_has(args, OPT_test_server_quiet),
        .seed = clock_mono_ns(),
    };
    size_t len = strlen(options.name);
    if (len == 0 || len > TEST_SERVER_NAME_MAX || !h1_field_value_ok(span_cstr(options.name)))
        return fail(EXIT_USAGE, "--name: a name has 1 to 64 printable characters");
    if (MAX(options.delay_ms, options.jitter_ms) > TEST_SERVER_DELAY_MAX_MS)
        return fail(EXIT_USAGE, "--delay and --jitter: at most 1h");
    if (options.log)
        (void)setvbuf(stdout, NULL, _IOLBF, 0);
    struct loop_options looping = {.engine = LOOP_ENGINE_AUTO};
    struct loop *loop;
    if (loop_new(&looping, &loop) != 0)
        return fail(EXIT_RUNTIME, "cannot make an event loop");
    uint16_t port = (uint16_t)cli_number(args, OPT_test_server_port, 8881);
    int code = listen_and_serve(loop, host ? host : "0.0.0.0", port, &options);
    loop_free(&loop);
    return code;
}
