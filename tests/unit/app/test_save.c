/* SPDX-License-Identifier: MIT */
/* Pools as they are, written into the file they came from. */
#include "app/save.h"
#include "config/load.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#define HEAD "listeners: [{name: web, listen: ':80', pool: app}]\npools:\n  - name: app # mine\n"

struct rig {
    char *text; /* of the file */
    int writes;
    bool broken;
    const struct snapshot *s;
    struct pool *pool;
    struct save_file file;
    struct steer_result result;
};

static int read_file(void *user, char **ret_text, size_t *ret_len, char *why, size_t why_size)
{
    const struct rig *r = user;
    (void)why;
    (void)why_size;
    *ret_text = strdup(r->text);
    *ret_len = strlen(r->text);
    return 0;
}

static int write_file(void *user, struct span text, char *why, size_t why_size)
{
    struct rig *r = user;
    if (r->broken) {
        snprintf(why, why_size, "the disk is full");
        return -1;
    }
    free(r->text);
    r->text = strndup((const char *)text.p, text.n);
    r->writes++;
    return 0;
}

static void begin(struct rig *r, const char *text)
{
    struct diagnostics d;
    *r = (struct rig){.text = strdup(text)};
    assert_int_equal(config_load("t.yaml", span_cstr(text), NULL, &d, &r->s), 0);
    diagnostics_fini(&d);
    r->pool = pool_new(r->s, 0, NULL);
    assert_non_null(r->pool);
    r->file =
        (struct save_file){.path = "t.yaml", .read = read_file, .write = write_file, .user = r};
}

static void end(struct rig *r)
{
    pool_free(&r->pool);
    snapshot_unref(&r->s);
    free(r->text);
}

static void save(struct rig *r, enum steer_code code, const char *says)
{
    save_membership(&r->file, r->s, &r->pool, 1, &r->result);
    if (r->result.code != code || !strstr(r->result.message, says))
        fail_msg("%d: %s", (int)r->result.code, r->result.message);
}

static struct backend *member(struct rig *r, const char *name)
{
    struct backend *b = pool_find(r->pool, span_cstr(name));
    assert_non_null(b);
    return b;
}

static void add(struct rig *r, const char *name, uint16_t port)
{
    struct backend_conf conf = {.name = name, .weight = 1};
    conf.address = (struct address){.kind = ADDRESS_V4, .port = port, .ip = {127, 0, 0, 1}};
    assert_non_null(pool_add(r->pool, &conf));
}

static void test_changes(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, HEAD "    backends:\n"
                   "      - {name: B1, address: 127.0.0.1:1} # one\n"
                   "      - {name: B2, address: 127.0.0.1:2}\n");
    save(&r, STEER_OK, "says so already");
    assert_int_equal(r.writes, 0);
    backend_weight_set(member(&r, "B1"), 4);
    backend_admin_set(member(&r, "B1"), BACKEND_DRAIN);
    backend_admin_set(member(&r, "B2"), BACKEND_REMOVED);
    add(&r, "B3", 3);
    save(&r, STEER_OK, "3 changes written to t.yaml");
    assert_string_equal(r.text, HEAD "    backends:\n"
                                     "      - {name: B1, address: 127.0.0.1:1, weight: 4} # one\n"
                                     "      - {name: B3, address: 127.0.0.1:3}\n");
    /* what was added since the start is removed again, though the snapshot never knew it */
    backend_admin_set(member(&r, "B3"), BACKEND_REMOVED);
    add(&r, "B2", 5);
    save(&r, STEER_OK, "2 changes written");
    assert_string_equal(r.text, HEAD "    backends:\n"
                                     "      - {name: B1, address: 127.0.0.1:1, weight: 4} # one\n"
                                     "      - {name: B2, address: 127.0.0.1:5}\n");
    /* the same name elsewhere */
    backend_admin_set(member(&r, "B2"), BACKEND_REMOVED);
    add(&r, "B2", 6);
    save(&r, STEER_OK, "2 changes written");
    assert_non_null(strstr(r.text, "{name: B2, address: 127.0.0.1:6}"));
    assert_int_equal(r.writes, 3);
    end(&r);
}

static void test_left_alone(void **state)
{
    (void)state;
    struct rig r;
    begin(&r, HEAD "    backends: [127.0.0.1:1]\n");
    backend_weight_set(&r.pool->backends[0], 4);
    r.broken = true;
    save(&r, STEER_FAILED, "the disk is full");
    char *before = strdup(r.text);
    free(r.text);
    r.text = strdup(HEAD "    backends: [127.0.0.1:1, 127.0.0.1:2]\n");
    r.broken = false;
    save(&r, STEER_CONFLICT, "was changed since it was loaded");
    free(r.text);
    r.text = before;
    backend_admin_set(&r.pool->backends[0], BACKEND_REMOVED);
    save(&r, STEER_CONFLICT, "would have no backend");
    r.file.path = NULL;
    save(&r, STEER_CONFLICT, "there is no configuration file");
    assert_int_equal(r.writes, 0);
    end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_changes),
        cmocka_unit_test(test_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
