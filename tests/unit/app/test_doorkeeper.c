/* SPDX-License-Identifier: MIT */
/* What the supervisor grants an engine that may be in somebody else's hands. */
#include "app/door_wire.h"
#include "app/replace_file.h"
#include "app/supervisor_priv.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define CONFIG                                                                         \
    "log: {file: %s/event.log}\n"                                                      \
    "listeners: [{name: web, listen: ['127.0.0.1:0', 'unix:%s/web.sock'], pool: p}]\n" \
    "pools: [{name: p, backends: ['127.0.0.1:1']}]\n"

struct rig {
    struct supervisor s;
    struct engine_slot *engine;
    int channel; /* the engine's end */
    uint32_t asked;
    char directory[64], path[100], text[1024];
    struct channel_message m;
    struct wire_head head;
};

static char *path_of(struct rig *r, const char *name)
{
    static char path[200];
    snprintf(path, sizeof(path), "%s/%s", r->directory, name);
    return path;
}

static void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void assert_text(const char *path, const char *text)
{
    char got[2048];
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    got[fread(got, 1, sizeof(got) - 1, f)] = 0;
    fclose(f);
    assert_string_equal(got, text);
}

static int open_rig(void **state)
{
    struct rig *r = calloc(1, sizeof(*r));
    int ends[2], news[2];
    snprintf(r->directory, sizeof(r->directory), "/tmp/test-doorkeeper-XXXXXX");
    assert_non_null(mkdtemp(r->directory));
    snprintf(r->path, sizeof(r->path), "%s/poise.yaml", r->directory);
    snprintf(r->text, sizeof(r->text), CONFIG, r->directory, r->directory);
    write_text(r->path, r->text);
    assert_int_equal(channel_pair(ends), 0);
    assert_int_equal(channel_pair(news), 0);
    r->s = (struct supervisor){.workers = 2, .program = -1, .log_file = -1};
    r->s.upgrade = (struct upgrade){.program = -1, .output = -1};
    r->s.origin.path = r->path;
    r->s.claims = claims_of_text(r->path, span_cstr(r->text), &r->s.origin.overrides);
    assert_non_null(r->s.claims);
    r->s.claims->log_level = LOG_LEVEL_ERROR;
    holdings_init(&r->s.holdings);
    r->engine = &r->s.engines[0];
    *r->engine = (struct engine_slot){.state = ENGINE_SERVING,
                                      .questions = ends[0],
                                      .news = news[0],
                                      .runs = claims_ref(r->s.claims)};
    r->engine->pid = fork();
    if (r->engine->pid == 0) {
        pause();
        _exit(0);
    }
    close(news[1]);
    r->s.current = r->engine;
    r->channel = ends[1];
    *state = r;
    return 0;
}

static int close_rig(void **state)
{
    struct rig *r = *state;
    kill(r->engine->pid, SIGKILL);
    waitpid(r->engine->pid, NULL, 0);
    engine_free_slot(&r->s, r->engine);
    holdings_fini(&r->s.holdings);
    claims_unref(&r->s.claims);
    close(r->channel);
    unlink(path_of(r, "event.log"));
    unlink(r->path);
    assert_int_equal(rmdir(r->directory), 0);
    free(r);
    return 0;
}

static void begin(struct rig *r, enum wire_type type, uint32_t arg)
{
    wire_begin(&r->m, type, 0, arg, 0);
    wire_number(&r->m, ++r->asked);
}

/* Sends r->m, has it answered, and receives the answer. Its status. */
static int ask(struct rig *r)
{
    assert_int_equal(channel_send(r->channel, &r->m, 0), CHANNEL_OK);
    assert_true(doorkeeper_answer(&r->s, r->engine));
    assert_int_equal(channel_receive(r->channel, &r->m, 0), CHANNEL_OK);
    assert_true(wire_head(&r->m, &r->head));
    assert_int_equal(r->head.number, r->asked);
    return r->head.status;
}

static int ask_bind(struct rig *r, const char *address)
{
    begin(r, WIRE_BIND, 2);
    assert_true(wire_put(&r->m, "web") && wire_put(&r->m, address));
    return ask(r);
}

/* A question that has one text. */
static int ask_about(struct rig *r, enum wire_type type, const char *text)
{
    begin(r, type, 0);
    assert_true(wire_put(&r->m, text));
    return ask(r);
}

static int ask_file(struct rig *r, const char *path)
{
    return ask_about(r, WIRE_FILE, path);
}

static int ask_config(struct rig *r)
{
    begin(r, WIRE_CONFIG, 0);
    return ask(r);
}

static int ask_save(struct rig *r, const char *text)
{
    int file = wire_file("test", span_cstr(text));
    begin(r, WIRE_SAVE, 0);
    r->m.fds[r->m.fd_count++] = file;
    int status = ask(r);
    close(file);
    return status;
}

static void test_addresses(void **state)
{
    struct rig *r = *state;
    char socket_path[200];
    snprintf(socket_path, sizeof(socket_path), "unix:%s/web.sock", r->directory);
    assert_int_equal(ask_bind(r, "127.0.0.1:0"), 0);
    assert_int_equal(r->m.fd_count, 2); /* one for each worker */
    channel_close_fds(&r->m, 0);
    assert_int_equal(ask_bind(r, socket_path), 0);
    assert_int_equal(r->m.fd_count, 1);
    channel_close_fds(&r->m, 0);
    assert_true(ask_bind(r, "127.0.0.1:22") < 0);
    assert_int_equal(r->m.fd_count, 0);
    assert_true(ask_bind(r, "0.0.0.0:0") < 0);
    assert_true(ask_bind(r, "unix:/tmp/other.sock") < 0);
    assert_true(ask_bind(r, "no address") < 0);
    begin(r, WIRE_BIND, 1);
    assert_true(wire_put(&r->m, "") && wire_put(&r->m, "127.0.0.1:0"));
    assert_true(ask(r) < 0); /* no address of the admin server */
    assert_int_equal(list_len(&r->s.holdings.all), 2);
    begin(r, WIRE_UNBIND, 0);
    assert_true(wire_put(&r->m, socket_path));
    assert_int_equal(ask(r), 0);
    assert_int_equal(list_len(&r->s.holdings.all), 1);
    assert_int_not_equal(access(path_of(r, "web.sock"), F_OK), 0);
}

static void test_files(void **state)
{
    struct rig *r = *state;
    assert_int_equal(ask_file(r, path_of(r, "event.log")), 0);
    assert_int_equal(r->m.fd_count, 1);
    channel_close_fds(&r->m, 0);
    assert_int_equal(ask_file(r, "/etc/passwd"), -1);
    assert_int_equal(r->m.fd_count, 0);
    assert_int_equal(ask_file(r, path_of(r, "../etc/passwd")), -1);
}

/* A new address may be had once the file that names it was read, and not before. */
static void test_a_new_configuration(void **state)
{
    struct rig *r = *state;
    char text[1024];
    snprintf(text, sizeof(text), "%s",
             "listeners: [{name: web, listen: '127.0.0.2:0', pool: p}]\n"
             "pools: [{name: p, backends: ['127.0.0.1:1']}]\n");
    assert_int_equal(ask_config(r), 0); /* what it shall run */
    channel_close_fds(&r->m, 0);
    write_text(r->path, text);
    assert_true(ask_bind(r, "127.0.0.2:0") < 0);
    assert_int_equal(ask_config(r), 0);
    size_t len = 0;
    char *got = wire_file_read(r->m.fds[0], &len);
    channel_close_fds(&r->m, 0);
    assert_string_equal(got, text);
    free(got);
    assert_int_equal(ask_bind(r, "127.0.0.2:0"), 0);
    channel_close_fds(&r->m, 0);
    assert_string_equal(r->s.claims->text, r->text);
    begin(r, WIRE_ACCEPT, 0);
    assert_int_equal(ask(r), 0);
    assert_string_equal(r->s.claims->text, text); /* what the next engine runs */
    assert_true(ask_bind(r, "127.0.0.1:0") < 0);
}

static void test_a_broken_configuration_claims_nothing(void **state)
{
    struct rig *r = *state;
    assert_int_equal(ask_config(r), 0);
    channel_close_fds(&r->m, 0);
    write_text(r->path, "listeners: [\n");
    assert_int_equal(ask_config(r), 0);
    channel_close_fds(&r->m, 0);
    begin(r, WIRE_ACCEPT, 0);
    assert_int_equal(ask(r), 0);
    assert_string_equal(r->s.claims->text, r->text);
    unlink(r->path);
    assert_true(ask_config(r) < 0);
}

static void test_saving(void **state)
{
    struct rig *r = *state;
    char good[1024];
    struct stat before, after;
    snprintf(good, sizeof(good), "%s", r->text);
    strstr(good, ":1'")[1] = '2';
    assert_int_equal(chmod(r->path, 0604), 0);
    assert_int_equal(stat(r->path, &before), 0);
    assert_true(ask_save(r, "#!/bin/sh\n") < 0);
    assert_text(r->path, r->text);
    assert_int_equal(ask_save(r, good), 0);
    assert_text(r->path, good);
    assert_int_equal(stat(r->path, &after), 0);
    assert_int_equal(after.st_mode, before.st_mode);
    r->s.current = NULL; /* one that was replaced */
    assert_true(ask_save(r, r->text) < 0);
    assert_text(r->path, good);
}

/* What the next engine may do is not for this one to write. */
static void test_saving_gives_no_rights(void **state)
{
    struct rig *r = *state;
    static const char *const lines[] = {
        "user: root",
        "sandbox: none",
        "workers: 3",
        "admin: {listen: '127.0.0.1:1'}",
        "admin: {token: 'known to an intruder'}",
        "access_log: {file: /etc/cron.d/poise}",
        "drain: {deadline: 1h}",
    };
    char text[1200];
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        snprintf(text, sizeof(text), "%s\n%s", lines[i], r->text);
        assert_true(ask_save(r, text) < 0);
    }
    snprintf(text, sizeof(text), "%s", r->text);
    memcpy(strstr(text, "event.log"), "other.log", 9);
    assert_true(ask_save(r, text) < 0);
    snprintf(text, sizeof(text), "%s", r->text);
    memcpy(strstr(text, "web.sock"), "own.sock", 8);
    assert_true(ask_save(r, text) < 0);
    assert_text(r->path, r->text);
}

#define TLS_CONFIG                                              \
    "log: {file: %s/event.log}\n"                               \
    "listeners: [{name: web, listen: '127.0.0.1:0', pool: p,\n" \
    "  tls: {certificates: [{cert: %s/a}]}}]\n"                 \
    "pools: [{name: p, tls: {ca: %s/ca}, backends: ['127.0.0.1:1']}]\n"

static uint64_t look(struct rig *r, const char *path)
{
    assert_int_equal(ask_about(r, WIRE_TLS_LOOK, path), 0);
    return (uint64_t)r->head.flag << 32 | r->head.arg;
}

static void run_text(struct rig *r)
{
    write_text(r->path, r->text);
    claims_unref(&r->engine->runs);
    r->engine->runs = claims_of_text(r->path, span_cstr(r->text), &r->s.origin.overrides);
    assert_non_null(r->engine->runs);
}

static void run_tls_config(struct rig *r)
{
    snprintf(r->text, sizeof(r->text), TLS_CONFIG, r->directory, r->directory, r->directory);
    run_text(r);
}

/* Keys are read for who runs the configuration that names them, and nothing else is. */
static void test_keys(void **state)
{
    struct rig *r = *state;
    size_t len = 0;
    assert_true(ask_about(r, WIRE_TLS_FILE, path_of(r, "a")) < 0);
    run_tls_config(r);
    assert_true(ask_about(r, WIRE_TLS_FILE, path_of(r, "a")) < 0); /* there is none */
    assert_int_equal(look(r, path_of(r, "a")), 0);
    uint64_t none = look(r, NULL);
    write_text(path_of(r, "a"), "secret");
    uint64_t stamp = look(r, path_of(r, "a"));
    assert_true(stamp != 0 && look(r, NULL) != none);
    assert_int_equal(ask_about(r, WIRE_TLS_FILE, path_of(r, "a")), 0);
    assert_int_equal(r->m.fd_count, 1);
    assert_true(((uint64_t)r->head.flag << 32 | r->head.arg) == stamp);
    char *got = wire_file_read(r->m.fds[0], &len);
    channel_close_fds(&r->m, 0);
    assert_string_equal(got, "secret");
    free(got);
    assert_true(ask_about(r, WIRE_TLS_FILE, "/etc/passwd") < 0);
    assert_true(ask_about(r, WIRE_TLS_LOOK, "/etc/passwd") < 0);
    assert_true(ask_about(r, WIRE_TLS_FILE, path_of(r, "event.log")) < 0);
    assert_true(ask_file(r, path_of(r, "a")) < 0); /* nor is a key a log */
    unlink(path_of(r, "a"));
    assert_int_equal(mkfifo(path_of(r, "a"), 0600), 0);
    assert_true(ask_about(r, WIRE_TLS_FILE, path_of(r, "a")) < 0); /* without waiting */
    unlink(path_of(r, "a"));
}

/* Who may write pools must not name files to be read as keys. */
static void test_saving_names_no_keys(void **state)
{
    struct rig *r = *state;
    char text[1200];
    run_tls_config(r);
    static const char *const swaps[][2] = {
        {"/ca}", "/xx}"},
        {"/ca}", "/ca, cert: /etc/shadow}"},
        {"/a}]", "/b}]"},
        {"/a}]", "/a, key: /etc/shadow}]"},
        {"tls: {certificates", "xtls: {certificates"},
    };
    for (size_t i = 0; i < ARRAY_LEN(swaps); i++) {
        const char *at = strstr(r->text, swaps[i][0]);
        assert_non_null(at);
        snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - r->text), r->text, swaps[i][1],
                 at + strlen(swaps[i][0]));
        assert_true(ask_save(r, text) < 0);
    }
    snprintf(text, sizeof(text), "%s", r->text);
    strstr(text, ":1'")[1] = '2';
    assert_int_equal(ask_save(r, text), 0);
}

/* After the supervisor has become another program, it knows nothing of those that drain. */
static void test_an_engine_of_before_gets_nothing(void **state)
{
    struct rig *r = *state;
    claims_unref(&r->engine->runs);
    r->s.current = NULL;
    assert_true(ask_config(r) < 0);
    assert_true(ask_bind(r, "127.0.0.1:0") < 0);
    assert_true(ask_file(r, path_of(r, "event.log")) < 0);
    assert_true(ask_about(r, WIRE_TLS_FILE, r->path) < 0);
    assert_true(ask_about(r, WIRE_TLS_LOOK, r->path) < 0);
    begin(r, WIRE_ACCEPT, 0);
    assert_int_equal(ask(r), 0);
}

/* Its socket is its owner's alone, whatever is asked for, in a folder that is made. */
static void test_the_admin_socket(void **state)
{
    struct rig *r = *state;
    char text[1200], socket_path[200];
    struct stat st;
    snprintf(text, sizeof(text), "admin: {socket: %s/run/admin.sock}\n%s", r->directory, r->text);
    snprintf(socket_path, sizeof(socket_path), "unix:%s/run/admin.sock", r->directory);
    claims_unref(&r->engine->runs);
    r->engine->runs = claims_of_text(r->path, span_cstr(text), &r->s.origin.overrides);
    assert_non_null(r->engine->runs);
    assert_true(ask_bind(r, socket_path) < 0); /* not for clients */
    begin(r, WIRE_BIND, 1);
    assert_true(wire_put(&r->m, "") && wire_put(&r->m, socket_path));
    assert_int_equal(ask(r), 0);
    assert_int_equal(r->m.fd_count, 1);
    channel_close_fds(&r->m, 0);
    assert_int_equal(stat(path_of(r, "run/admin.sock"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    holdings_close(&r->s.holdings, socket_path);
    assert_int_equal(rmdir(path_of(r, "run")), 0);
}

/* What is no question ends the talk, and the engine. */
static void test_nonsense(void **state)
{
    struct rig *r = *state;
    int status;
    r->m.byte_count = 5;
    r->m.fd_count = 0;
    memset(r->m.bytes, 'x', 5);
    r->s.claims->log_level = LOG_LEVEL_ERROR;
    assert_int_equal(channel_send(r->channel, &r->m, 0), CHANNEL_OK);
    assert_false(doorkeeper_answer(&r->s, r->engine));
    assert_int_equal(waitpid(r->engine->pid, &status, 0), r->engine->pid);
    assert_true(WIFSIGNALED(status));
    r->engine->pid = fork();
    if (r->engine->pid == 0) {
        pause();
        _exit(0);
    }
    begin(r, (enum wire_type)200, 0);
    assert_int_equal(channel_send(r->channel, &r->m, 0), CHANNEL_OK);
    assert_false(doorkeeper_answer(&r->s, r->engine));
}

/* Texts without an end, and questions without texts. */
static void test_half_questions(void **state)
{
    struct rig *r = *state;
    static const enum wire_type types[] = {WIRE_BIND, WIRE_FILE, WIRE_SAVE, WIRE_TLS_FILE};
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        begin(r, types[i], 2);
        assert_true(ask(r) < 0);
        begin(r, types[i], 2);
        r->m.bytes[r->m.byte_count++] = 't';
        r->m.bytes[r->m.byte_count++] = 'x';
        assert_true(ask(r) < 0);
        begin(r, types[i], 2);
        assert_true(wire_put(&r->m, NULL) && wire_put(&r->m, NULL));
        assert_true(ask(r) < 0);
    }
}

#define ACME_CONFIG                                                                       \
    "log: {file: %s/event.log}\n"                                                         \
    "listeners: [{name: web, listen: '127.0.0.1:0', pool: p, acme_challenge: %s/acme}]\n" \
    "pools: [{name: p, backends: ['127.0.0.1:1']}]\n"

/* Folders of challenges are listed and read from; no other folder is. */
static void test_challenges(void **state)
{
    struct rig *r = *state;
    size_t len = 0;
    snprintf(r->text, sizeof(r->text), ACME_CONFIG, r->directory, r->directory);
    run_text(r);
    assert_int_equal(ask_about(r, WIRE_CHALLENGES, path_of(r, "acme")), -ENOENT);
    assert_int_equal(mkdir(path_of(r, "acme"), 0700), 0);
    write_text(path_of(r, "acme/token"), "x");
    write_text(path_of(r, "acme/no.token"), "x");
    assert_int_equal(ask_about(r, WIRE_CHALLENGES, path_of(r, "acme")), 0);
    char *names = wire_file_read(r->m.fds[0], &len);
    channel_close_fds(&r->m, 0);
    assert_string_equal(names, "token\n");
    free(names);
    assert_int_equal(ask_about(r, WIRE_CHALLENGES, r->directory), -EPERM);
    assert_int_equal(ask_about(r, WIRE_CHALLENGES, "/etc"), -EPERM);
    begin(r, WIRE_CHALLENGES, 0);
    assert_int_equal(ask(r), -EINVAL);
    begin(r, WIRE_CHALLENGE, 0);
    assert_true(wire_put(&r->m, path_of(r, "acme")) && wire_put(&r->m, "token"));
    assert_int_equal(ask(r), 0);
    channel_close_fds(&r->m, 0);
    assert_int_equal(ask_about(r, WIRE_CHALLENGE, path_of(r, "acme")), -EINVAL);
    unlink(path_of(r, "acme/token"));
    unlink(path_of(r, "acme/no.token"));
    assert_int_equal(rmdir(path_of(r, "acme")), 0);
}

/* An engine that an upgrade has begun asks a supervisor of before only what it knows. */
static void test_hello(void **state)
{
    struct rig *r = *state;
    begin(r, WIRE_HELLO, 1);
    assert_int_equal(ask(r), 0);
    assert_int_equal(r->head.arg, 2);
    assert_int_equal(r->head.flag, WIRE_CHALLENGES);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, open_rig, close_rig)
    const struct CMUnitTest tests[] = {
        CASE(test_hello),
        CASE(test_addresses),
        CASE(test_files),
        CASE(test_a_new_configuration),
        CASE(test_a_broken_configuration_claims_nothing),
        CASE(test_saving),
        CASE(test_saving_gives_no_rights),
        CASE(test_keys),
        CASE(test_saving_names_no_keys),
        CASE(test_an_engine_of_before_gets_nothing),
        CASE(test_the_admin_socket),
        CASE(test_nonsense),
        CASE(test_half_questions),
        CASE(test_challenges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
