/* SPDX-License-Identifier: MIT */
/* A command line without a file, and the file that says the same. */
#include "loaded.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdlib.h>

static char *text_of(const struct config_words *words)
{
    char why[256] = "";
    char *text = config_from_words(words, why, sizeof(why));
    if (text == NULL)
        print_error("%s\n", why);
    assert_non_null(text);
    return text;
}

static void test_least(void **state)
{
    static const char *const listen[] = {":8080"};
    static const char *const backends[] = {"127.0.0.1:8881", "127.0.0.1:8882,weight=2"};
    (void)state;
    char *text = text_of(&(struct config_words){
        .listen = listen, .listen_count = 1, .backends = backends, .backend_count = 2});
    struct loaded l = loaded_good(text);
    assert_int_equal(l.d.count, 0);
    assert_int_equal(l.s->listener_count, 1);
    assert_int_equal(l.s->listeners[0].addresses[0].port, 8080);
    assert_int_equal(l.s->listeners[0].protocol, PROTOCOL_HTTP);
    assert_int_equal(l.s->pools[0].balance, BALANCE_ROUND_ROBIN);
    assert_int_equal(l.s->pools[0].health.type, HEALTH_TCP);
    assert_int_equal(l.s->pools[0].backend_count, 2);
    assert_int_equal(l.s->pools[0].backends[1].weight, 2);
    loaded_fini(&l);
    free(text);
}

static void test_all(void **state)
{
    static const char *const listen[] = {"127.0.0.1:1", "[::1]:2", "unix:/tmp/a b"};
    static const char *const backends[] = {"[::1]:8881,name=B1,weight=0", "unix:/x${y}",
                                           "h.example:1,backup"};
    (void)state;
    char *text = text_of(&(struct config_words){.listen = listen,
                                                .listen_count = 3,
                                                .backends = backends,
                                                .backend_count = 3,
                                                .mode = "tcp",
                                                .balance = "source_hash",
                                                .admin = "127.0.0.1:9900",
                                                .log_level = "debug",
                                                .log_file = "a \"b\" ${c}",
                                                .workers = "2",
                                                .engine = "epoll"});
    struct loaded l = loaded_good(text);
    assert_int_equal(l.s->listeners[0].address_count, 3);
    assert_int_equal(l.s->listeners[0].protocol, PROTOCOL_TCP);
    assert_int_equal(l.s->pools[0].protocol, PROTOCOL_TCP);
    assert_int_equal(l.s->pools[0].balance, BALANCE_SOURCE_HASH);
    assert_string_equal(l.s->pools[0].backends[0].name, "B1");
    assert_int_equal(l.s->pools[0].backends[0].weight, 0);
    assert_string_equal(l.s->pools[0].backends[1].address.text, "/x${y}");
    assert_true(l.s->pools[0].backends[2].backup);
    assert_true(l.s->admin.enabled);
    assert_int_equal(l.s->log.level, LOG_LEVEL_DEBUG);
    assert_string_equal(l.s->log.file, "a \"b\" ${c}");
    assert_int_equal(l.s->workers, 2);
    loaded_fini(&l);
    free(text);
}

static void test_admin_words(void **state)
{
    const char *listen[] = {":80"};
    const char *backends[] = {"127.0.0.1:1"};
    struct config_words words = {
        .listen = listen, .listen_count = 1, .backends = backends, .backend_count = 1};
    (void)state;
    words.admin = "unix:/run/p.sock";
    char *text = text_of(&words);
    struct loaded l = loaded_good(text);
    assert_string_equal(l.s->admin.socket, "/run/p.sock");
    assert_int_equal(l.s->admin.address.kind, ADDRESS_NONE);
    loaded_fini(&l);
    free(text);
    words.admin = "127.0.0.1:77";
    text = text_of(&words);
    l = loaded_good(text);
    assert_null(l.s->admin.socket);
    assert_int_equal(l.s->admin.address.port, 77);
    loaded_fini(&l);
    free(text);
}

static void test_wrong_words(void **state)
{
    static const struct {
        const char *listen, *backend, *mode, *balance, *workers;
        const char *why; /* a part */
    } cases[] = {
        {NULL, "127.0.0.1:1", NULL, NULL, NULL, "add --listen :8080"},
        {":80", NULL, NULL, NULL, NULL, "add --backend 127.0.0.1:8881"},
        {"8080", "127.0.0.1:1", NULL, NULL, NULL, "'8080' is not an address"},
        {":80", "127.0.0.1", NULL, NULL, NULL, "'127.0.0.1' is not an address"},
        {":80", "127.0.0.1:1,wieght=2", NULL, NULL, NULL, "did you mean 'weight'?"},
        {":80", "127.0.0.1:1,weight=x", NULL, NULL, NULL, "'x' is not a number for 'weight'"},
        {":80", "127.0.0.1:1,weight=", NULL, NULL, NULL, "'' is not a number for 'weight'"},
        {":80", "127.0.0.1:1,weight=1,weight=2", NULL, NULL, NULL, "'weight' is given twice"},
        {":80", "127.0.0.1:1,,", NULL, NULL, NULL, "'' is not known"},
        {":80", "", NULL, NULL, NULL, "'address' is empty"},
        {":80", "127.0.0.1:1", "htpp", NULL, NULL, "did you mean 'http'?"},
        {":80", "127.0.0.1:1", NULL, "robin", NULL, "'robin' is not a value of 'balance'"},
        {":80", "127.0.0.1:1", NULL, NULL, "0", "'workers' is 1 to 256"},
        {":80\n", "127.0.0.1:1", NULL, NULL, NULL, "no line ends"},
        {":80\xff", "127.0.0.1:1", NULL, NULL, NULL, "is not an address"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char why[256] = "";
        struct config_words words = {.listen = &cases[i].listen,
                                     .listen_count = cases[i].listen != NULL,
                                     .backends = &cases[i].backend,
                                     .backend_count = cases[i].backend != NULL,
                                     .mode = cases[i].mode,
                                     .balance = cases[i].balance,
                                     .workers = cases[i].workers};
        assert_null(config_from_words(&words, why, sizeof(why)));
        if (strstr(why, cases[i].why) == NULL)
            print_error("case %zu: %s\n", i, why);
        assert_non_null(strstr(why, cases[i].why));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_least),
        cmocka_unit_test(test_all),
        cmocka_unit_test(test_admin_words),
        cmocka_unit_test(test_wrong_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
