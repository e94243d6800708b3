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

static void test_list(void **state)
{
    const struct folder *f = *state;
    char *names;
    size_t len;
    put(f, "no.token", 1);
    assert_int_equal(challenge_file_list(f->path, &names, &len), 0);
    assert_int_equal(unlink(in(f, "no.token")), 0);
    assert_int_equal(len, strlen(names));
    assert_int_equal(len, strlen("good\nfull\nlarge\nlink\nfifo\nfolder\n"));
    assert_non_null(strstr(names, "good\n"));
    free(names);
    assert_int_equal(challenge_file_list(in(f, "good"), &names, &len), -ENOTDIR);
    assert_int_equal(challenge_file_list(in(f, "nothing"), &names, &len), -ENOENT);
}

static void many_files(const struct folder *f, bool there)
{
    char name[16];
    for (int i = 0; i < CHALLENGE_FILES_MAX; i++) {
        (void)snprintf(name, sizeof(name), "m%d", i);
        if (there)
            put(f, name, 0);
        else
            (void)unlink(in(f, name));
    }
}

struct rig {
    struct loop *loop;
    struct door *door;
    struct challenges *challenges;
    struct forwarder f;
    int good, unknown, refused;
    size_t bytes;
};

static void rig_begin(struct rig *r)
{
    static const struct door_origin origin;
    struct loop_options o = {0};
    *r = (struct rig){0};
    assert_int_equal(loop_new(&o, &r->loop), 0);
    assert_int_equal(door_direct_new(&origin, &r->door), 0);
    r->challenges = challenges_new(r->loop, r->door);
    assert_non_null(r->challenges);
    r->f = (struct forwarder){
        .loop = r->loop, .challenge = challenges_ask, .challenge_user = r->challenges};
    list_init(&r->f.challenges);
}

/* Questions and answers are messages of one loop here. */
static void rig_until_answered(struct rig *r)
{
    if (r->f.challenge_count > 0)
        loop_run(r->loop);
}

static void rig_end(struct rig *r)
{
    challenge_drop_all(&r->f);
    challenges_free(&r->challenges);
    loop_free(&r->loop);
    door_free(&r->door);
}

static void on_answered(void *user, int result, struct span text)
{
    struct rig *r = user;
    r->good += result == 0;
    r->unknown += result == -(int)REASON_acme_unknown;
    r->refused += result == -(int)REASON_overload;
    r->bytes += text.n;
    if (r->f.challenge_count == 1) /* this one */
        loop_stop(r->loop);
}

static void ask(struct rig *r, const char *folder, const char *token)
{
    struct challenge *c;
    assert_int_equal(challenge_ask(&r->f, folder, span_cstr(token), on_answered, r, &c), 0);
}

static void ask_made_up(struct rig *r, const char *folder, int count)
{
    char token[16];
    for (int i = 0; i < count; i++) {
        (void)snprintf(token, sizeof(token), "made-up-%d", i);
        ask(r, folder, token);
    }
}

static void test_texts(void **state)
{
    const struct folder *f = *state;
    struct rig r;
    rig_begin(&r);
    ask(&r, f->path, "good");
    ask(&r, f->path, "full");
    ask(&r, f->path, "large");
    ask(&r, f->path, "nothing");
    rig_until_answered(&r);
    assert_int_equal(r.good, 2);
    assert_int_equal(r.unknown, 2);
    assert_int_equal(r.bytes, 10 + REPLY_BODY_MAX);
    rig_end(&r);
}

static void test_no_folder(void **state)
{
    const struct folder *f = *state;
    struct rig r;
    rig_begin(&r);
    ask_made_up(&r, in(f, "nothing"), 1000);
    rig_until_answered(&r);
    assert_int_equal(r.unknown, 1000);
    rig_end(&r);
}

/* However many ask for what is not there, who asks for what is gets it. */
static void test_flood_of_made_up_tokens(void **state)
{
    const struct folder *f = *state;
    struct rig r;
    rig_begin(&r);
    ask_made_up(&r, f->path, 1000);
    put(f, "late", 3);
    ask(&r, f->path, "late");
    ask_made_up(&r, f->path, 1000);
    rig_until_answered(&r);
    assert_int_equal(unlink(in(f, "late")), 0);
    assert_int_equal(r.good, 1);
    assert_int_equal(r.bytes, 3);
    assert_int_equal(r.unknown, 2000);
    assert_int_equal(r.refused, 0);
    rig_end(&r);
}

/* Each question for one file costs nothing more than the first, and many files are answered in
 * turn. */
static void test_flood_of_known_tokens(void **state)
{
    const struct folder *f = *state;
    struct rig r;
    char name[16];
    rig_begin(&r);
    many_files(f, false);
    for (int i = 0; i < 100; i++) {
        (void)snprintf(name, sizeof(name), "m%d", i);
        put(f, name, 1);
        for (int k = 0; k < 10; k++)
            ask(&r, f->path, name);
        ask(&r, f->path, "good");
    }
    rig_until_answered(&r);
    many_files(f, false);
    assert_int_equal(r.good, 1100);
    assert_int_equal(r.bytes, 10 * 100 + 100 * 10);
    rig_end(&r);
}

/* One who holds up a folder holds up no other. */
static void test_flood_of_folders(void **state)
{
    const struct folder *f = *state;
    struct rig r;
    char folder[200];
    rig_begin(&r);
    for (int i = 0; i < 100; i++) { /* as many names for one */
        (void)snprintf(folder, sizeof(folder), "%s%0*d", f->path, i + 1, 0);
        for (char *at = folder + strlen(f->path); *at; at++)
            *at = '/';
        ask(&r, folder, "good");
        ask_made_up(&r, folder, 5);
    }
    rig_until_answered(&r);
    assert_int_equal(r.good, 100);
    assert_int_equal(r.unknown, 500);
    rig_end(&r);
}

static void test_too_many_files(void **state)
{
    const struct folder *f = *state;
    struct rig r;
    char *names;
    size_t len;
    many_files(f, true);
    assert_int_equal(challenge_file_list(f->path, &names, &len), -E2BIG);
    rig_begin(&r);
    ask(&r, f->path, "good");
    ask_made_up(&r, f->path, 100);
    rig_until_answered(&r);
    many_files(f, false);
    assert_int_equal(r.good, 1);
    assert_true(r.unknown >= 1);
    assert_true(r.refused >= 1);
    assert_int_equal(r.unknown + r.refused, 100);
    rig_end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_no_folder),
        cmocka_unit_test(test_flood_of_made_up_tokens),
        cmocka_unit_test(test_flood_of_known_tokens),
        cmocka_unit_test(test_flood_of_folders),
        cmocka_unit_test(test_too_many_files),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
