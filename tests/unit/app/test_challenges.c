/* SPDX-License-Identifier: MIT */
/* Files of ACME challenges: only files themselves, only in their folder, only so many at a time. */
#include "app/challenges.h"

#include "app/challenge_file.h"
#include "app/door.h"
#include "forward/forwarder.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct folder {
    char path[64];
};

static void put(const struct folder *f, const char *name, size_t bytes)
{
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/%s", f->path, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (size_t i = 0; i < bytes; i++)
        (void)fputc('x', file);
    assert_int_equal(fclose(file), 0);
}

static const char *in(const struct folder *f, const char *name)
{
    static char path[128];
    (void)snprintf(path, sizeof(path), "%s/%s", f->path, name);
    return path;
}

static int setup(void **state)
{
    static struct folder f;
    (void)snprintf(f.path, sizeof(f.path), "/tmp/poise-challenges-XXXXXX");
    assert_non_null(mkdtemp(f.path));
    put(&f, "good", 10);
    put(&f, "full", REPLY_BODY_MAX);
    put(&f, "large", REPLY_BODY_MAX + 1);
    assert_int_equal(symlink("good", in(&f, "link")), 0);
    assert_int_equal(mkfifo(in(&f, "fifo"), 0600), 0);
    assert_int_equal(mkdir(in(&f, "folder"), 0700), 0);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    static const char *const names[] = {"good", "full", "large", "link", "fifo"};
    const struct folder *f = *state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        (void)unlink(in(f, names[i]));
    (void)rmdir(in(f, "folder"));
    return rmdir(f->path);
}

static void test_files(void **state)
{
    static const struct {
        const char *token;
        int error;
    } cases[] = {
        {"nothing", -ENOENT}, {"link", -ELOOP},      {"fifo", -EACCES},
        {"folder", -EACCES},  {"", -EINVAL},         {"..", -EINVAL},
        {".", -EINVAL},       {"folder/x", -EINVAL}, {"/etc/passwd", -EINVAL},
        {"../x", -EINVAL},    {"a.b", -EINVAL},
    };
    const struct folder *f = *state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_int_equal(challenge_file_open(f->path, cases[i].token), cases[i].error);
    assert_int_equal(challenge_file_open(in(f, "good"), "good"), -ENOTDIR);
    int fd = challenge_file_open(f->path, "good");
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
    (void)close(fd);
}

struct rig {
    struct loop *loop;
    struct door *door;
    struct challenges *challenges;
    struct forwarder f;
};

static void rig_begin(struct rig *r)
{
    static const struct door_origin origin;
    struct loop_options o = {0};
    assert_int_equal(loop_new(&o, &r->loop), 0);
    assert_int_equal(door_direct_new(&origin, &r->door), 0);
    r->challenges = challenges_new(r->loop, r->door);
    assert_non_null(r->challenges);
    r->f = (struct forwarder){
        .loop = r->loop, .challenge = challenges_ask, .challenge_user = r->challenges};
    list_init(&r->f.challenges);
}

static void on_stop(struct loop *loop, struct message *m)
{
    (void)m;
    loop_stop(loop);
}

/* Questions and answers are messages of one loop here: two turns. */
static void rig_turns(struct rig *r)
{
    for (int i = 0; i < 2; i++) {
        struct message stop = {.fn = on_stop};
        loop_post(r->loop, &stop);
        loop_run(r->loop);
    }
}

static void rig_end(struct rig *r)
{
    challenge_drop_all(&r->f);
    loop_free(&r->loop);
    challenges_free(&r->challenges);
    door_free(&r->door);
}

struct heard {
    int good, unknown, refused;
    size_t bytes;
};

static void on_answered(void *user, int result, struct span text)
{
    struct heard *h = user;
    h->good += result == 0;
    h->unknown += result == -(int)REASON_acme_unknown;
    h->refused += result == -(int)REASON_overload;
    h->bytes += text.n;
}

static void ask(struct rig *r, const struct folder *f, const char *token, struct heard *h)
{
    struct challenge *c;
    assert_int_equal(challenge_ask(&r->f, f->path, span_cstr(token), on_answered, h, &c), 0);
}

static void test_texts(void **state)
{
    const struct folder *f = *state;
    struct rig r;
    struct heard h = {0};
    rig_begin(&r);
    ask(&r, f, "good", &h);
    ask(&r, f, "full", &h);
    ask(&r, f, "large", &h);
    ask(&r, f, "nothing", &h);
    rig_turns(&r);
    assert_int_equal(h.good, 2);
    assert_int_equal(h.unknown, 2);
    assert_int_equal(h.bytes, 10 + REPLY_BODY_MAX);
    rig_end(&r);
}

static void test_flood(void **state)
{
    const struct folder *f = *state;
    struct rig r;
    struct heard h = {0};
    rig_begin(&r);
    for (int i = 0; i < CHALLENGES_MAX; i++)
        ask(&r, f, "good", &h);
    rig_turns(&r);
    assert_int_equal(h.good + h.refused, CHALLENGES_MAX);
    assert_true(h.good >= 1);
    assert_true(h.refused >= 1);
    rig_end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_flood),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
