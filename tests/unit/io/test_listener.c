/* SPDX-License-Identifier: MIT */
/* What opening a listener refuses, and what it says about it. */
#include "io/listener.h"

#include "account/reason.h"
#include "io/listener_priv.h"
#include "io/socket.h"

#include <setjmp.h>
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

static char why[LISTENER_WHY_MAX];

static const struct address loopback = {.kind = ADDRESS_V4, .ip = {127, 0, 0, 1}};

static int open_at(struct address a, struct listener **ret_listener)
{
    const struct listener_options options = {.address = a, .shards = 2};
    why[0] = 0;
    return listener_open(&options, ret_listener, why);
}

static void assert_why(const char *part)
{
    if (!strstr(why, part))
        fail_msg("\"%s\" does not say \"%s\"", why, part);
}

static struct address unix_at(const char *path)
{
    return (struct address){.kind = ADDRESS_UNIX, .text = path};
}

static const char *temp_path(const char *name)
{
    static char path[100];
    snprintf(path, sizeof path, "/tmp/test-io-listener-%ld-%s", (long)getpid(), name);
    return path;
}

static int connect_to(const struct address *a)
{
    struct sockaddr_storage sa;
    socklen_t len = socket_sockaddr(a, &sa);
    int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&sa, len), 0);
    return fd;
}

static void test_waiting(void **state)
{
    (void)state;
    struct listener *l;
    assert_int_equal(open_at(loopback, &l), 0);
    assert_int_equal(listener_waiting(l, 0) + listener_waiting(l, 1), 0);
    int fds[5];
    for (int i = 0; i < 5; i++)
        fds[i] = connect_to(listener_address(l));
    assert_int_equal(listener_waiting(l, 0) + listener_waiting(l, 1), 5);
    uint32_t shard = listener_waiting(l, 0) ? 0 : 1;
    uint32_t before = listener_waiting(l, shard);
    int taken = accept(listener_fd(l, shard), NULL, NULL);
    assert_true(taken >= 0);
    assert_int_equal(listener_waiting(l, shard), before - 1);
    close(taken);
    for (int i = 0; i < 5; i++)
        close(fds[i]);
    listener_close(&l);
}

/* All workers share the queue of a unix socket: nobody's connections wait there. */
static void test_waiting_unix(void **state)
{
    (void)state;
    struct listener *l;
    assert_int_equal(open_at(unix_at(temp_path("waiting")), &l), 0);
    int fd = connect_to(listener_address(l));
    assert_int_equal(listener_waiting(l, 0), 0);
    assert_false(listener_enter(l, 0)); /* all watch it exclusively */
    listener_leave(l, 0);
    close(fd);
    listener_close(&l);
}

static void test_first_of_a_shard(void **state)
{
    (void)state;
    struct listener *l;
    assert_int_equal(open_at(loopback, &l), 0);
    assert_true(listener_enter(l, 0));
    assert_false(listener_enter(l, 0));
    assert_true(listener_enter(l, 1));
    listener_leave(l, 0);
    listener_leave(l, 0);
    assert_true(listener_enter(l, 0));
    listener_close(&l);
}

static void test_own_port_twice(void **state)
{
    (void)state;
    struct listener *a;
    struct listener *b = NULL;
    assert_int_equal(open_at(loopback, &a), 0);
    /* both would set SO_REUSEPORT; the kernel alone would let the second in */
    assert_int_equal(open_at(*listener_address(a), &b), -(int)REASON_system_error);
    assert_null(b);
    char text[ADDRESS_TEXT_MAX];
    address_format(listener_address(a), text);
    assert_why(text);
    assert_why("another program uses it");
    struct address again = *listener_address(a);
    listener_close(&a);
    assert_null(a);
    listener_close(&a);
    assert_int_equal(open_at(again, &a), 0); /* and free at once */
    listener_close(&a);
}

static void test_port_of_another_process(void **state)
{
    (void)state;
    int ready[2];
    int end[2];
    assert_int_equal(pipe(ready) | pipe(end), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct listener *theirs;
        uint16_t port = 0;
        close(end[1]);
        if (open_at(loopback, &theirs) == 0)
            port = listener_address(theirs)->port;
        if (write(ready[1], &port, sizeof port) != sizeof port)
            _exit(1);
        char c;
        _exit(read(end[0], &c, 1) == 0 ? 0 : 1);
    }
    close(end[0]);
    struct address a = loopback;
    assert_int_equal(read(ready[0], &a.port, sizeof a.port), sizeof a.port);
    struct listener *l = NULL;
    assert_true(a.port != 0);
    assert_int_equal(open_at(a, &l), -(int)REASON_system_error);
    assert_why("another program uses it");
    a = (struct address){.kind = ADDRESS_V6, .port = a.port}; /* every address: theirs included */
    assert_int_equal(open_at(a, &l), -(int)REASON_system_error);
    snprintf(why + strlen(why), 2, " ");
    char colon[16];
    snprintf(colon, sizeof colon, "on :%u: ", (unsigned)a.port);
    assert_why(colon);
    close(end[1]);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    close(ready[0]);
    close(ready[1]);
}

static void test_not_our_address(void **state)
{
    (void)state;
    struct listener *l = NULL;
    struct address a = {.kind = ADDRESS_V4, .ip = {192, 0, 2, 1}, .port = 8080};
    assert_int_equal(open_at(a, &l), -(int)REASON_system_error);
    assert_why("192.0.2.1:8080");
    assert_why("no such address");
}

static unsigned first_free_port(void)
{
    unsigned port = 1024;
    FILE *f = fopen("/proc/sys/net/ipv4/ip_unprivileged_port_start", "re");
    if (f && fscanf(f, "%u", &port) != 1)
        port = 1024;
    if (f)
        fclose(f);
    return port;
}

static int open_as_nobody(void)
{
    struct listener *l = NULL;
    struct address a = loopback;
    a.port = 81;
    if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0))
        return 3;
    if (open_at(a, &l) != -(int)REASON_system_error)
        return 1;
    return strstr(why, "permission denied; ports below 1024") ? 0 : 2;
}

static void test_no_permission(void **state)
{
    (void)state;
    if (first_free_port() <= 81)
        skip();
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(open_as_nobody());
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_shards(void **state)
{
    (void)state;
    const struct listener_options options = {.address = loopback, .shards = 8, .backlog = 16};
    struct listener *l;
    assert_int_equal(listener_open(&options, &l, why), 0);
    for (uint32_t i = 0; i < 8; i++) {
        struct sockaddr_storage sa;
        socklen_t len = sizeof sa;
        struct address a;
        assert_int_equal(getsockname(listener_fd(l, i), (struct sockaddr *)&sa, &len), 0);
        socket_address(&sa, len, NULL, &a);
        assert_true(address_equal(&a, listener_address(l)));
        assert_int_equal(listener_fd(l, i) == listener_fd(l, 0), i == 0);
    }
    assert_false(listener_is_shared(l));
    listener_close(&l);
}

/* ---- unix sockets ---- */

static void test_unix_stale_and_live(void **state)
{
    (void)state;
    const char *path = temp_path("a");
    struct listener *a;
    struct listener *b = NULL;
    assert_int_equal(open_at(unix_at(path), &a), 0);
    assert_true(listener_is_shared(a));
    assert_int_equal(listener_fd(a, 0), listener_fd(a, 1));
    assert_int_equal(open_at(unix_at(path), &b), -(int)REASON_system_error);
    assert_why("another program uses it");
    assert_int_equal(access(path, F_OK), 0); /* the live one keeps its file */

    int dead = socket_new(AF_UNIX);
    const char *stale = temp_path("stale");
    struct address at = unix_at(stale);
    struct sockaddr_storage sa;
    socklen_t len = socket_sockaddr(&at, &sa);
    assert_int_equal(bind(dead, (struct sockaddr *)&sa, len), 0);
    close(dead); /* the file stays, as after a crash */
    assert_int_equal(access(stale, F_OK), 0);
    assert_int_equal(open_at(at, &b), 0);
    assert_string_equal(listener_address(b)->text, stale);
    listener_close(&b);
    assert_int_equal(access(stale, F_OK), -1);
    path = temp_path("a");
    listener_close(&a);
    assert_int_equal(access(path, F_OK), -1);
}

static void test_unix_file_in_the_way(void **state)
{
    (void)state;
    const char *path = temp_path("file");
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    fclose(f);
    struct listener *l = NULL;
    assert_int_equal(open_at(unix_at(path), &l), -(int)REASON_system_error);
    assert_why("a file that is no socket is in the way");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(open_at(unix_at("/tmp/there-is-no-such-folder/x"), &l),
                     -(int)REASON_system_error);
    assert_why("folder of the socket does not exist");
}

/* A later owner of the path keeps its file when we go. */
static void test_unix_file_replaced(void **state)
{
    (void)state;
    const char *path = temp_path("r");
    struct listener *a;
    struct listener *b;
    assert_int_equal(open_at(unix_at(path), &a), 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(open_at(unix_at(path), &b), 0);
    listener_close(&a);
    assert_int_equal(access(path, F_OK), 0);
    listener_close(&b);
    assert_int_equal(access(path, F_OK), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_waiting),
        cmocka_unit_test(test_waiting_unix),
        cmocka_unit_test(test_first_of_a_shard),
        cmocka_unit_test(test_own_port_twice),
        cmocka_unit_test(test_port_of_another_process),
        cmocka_unit_test(test_not_our_address),
        cmocka_unit_test(test_no_permission),
        cmocka_unit_test(test_shards),
        cmocka_unit_test(test_unix_stale_and_live),
        cmocka_unit_test(test_unix_file_in_the_way),
        cmocka_unit_test(test_unix_file_replaced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
