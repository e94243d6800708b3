/* SPDX-License-Identifier: MIT */
/*
 * Every kind of mistake: where it is shown, what is said, and what is suggested. Most cases have
 * just the block with the mistake; L and P complete it to a configuration.
 */
#include "loaded.h"

#include "base/limits.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdlib.h>

struct mistake {
    const char *text;
    uint32_t line, column, length;
    const char *message; /* a part of it */
    const char *hint;    /* a part; NULL = there must be none */
};

/* One line each, so that the line of the mistake is easy to count. */
#define L "listeners: [{name: web, listen: ':80', pool: app}]\n"
#define P "pools: [{name: app, backends: ['127.0.0.1:1']}]\n"

static const struct mistake mistakes[] = {
    /* keys */
    {L P "poolz: []\n", 3, 1, 5, "unknown key 'poolz'", "did you mean 'pools'?"},
    {L P "weight: 2\n", 3, 1, 6, "unknown key 'weight'", "it belongs in pools[].backends[]"},
    {L P "zebra: 2\n", 3, 1, 5, "unknown key 'zebra'", NULL},
    {L "pools:\n  - name: app\n    backends:\n      - name: B1\n        address: 127.0.0.1:1\n"
       "        weigth: 2\n",
     7, 9, 6, "unknown key 'weigth'", "did you mean 'weight'?"},
    {L P "workers: 1\nworkers: 2\n", 4, 1, 7, "the key 'workers' is given twice", NULL},
    {L P "log: {level: info, level: warn}\n", 3, 20, 5, "the key 'level' is given twice", NULL},
    {L P "Workers: 2\n", 3, 1, 7, "unknown key 'Workers'", "did you mean 'workers'?"},
    {L P "[a]: 2\n", 3, 1, 1, "a key must be a word, not a list", NULL},
    {L P "{a: b}: 2\n", 3, 1, 1, "a key must be a word, not a mapping", NULL},

    /* booleans and nothing */
    {L "pools: [{name: app, backends: [{address: '127.0.0.1:1', backup: yes}]}]\n", 2, 65, 3,
     "'backup' is true or false, not 'yes'", "did you mean 'true'?"},
    {L "pools: [{name: app, backends: [{address: '127.0.0.1:1', backup: Off}]}]\n", 2, 65, 3,
     "'backup' is true or false", "did you mean 'false'?"},
    {L "pools: [{name: app, backends: [{address: '127.0.0.1:1', backup: 'yes'}]}]\n", 2, 65, 5,
     "'backup' is true or false, not 'yes'", NULL},
    {L "pools: [{name: no, backends: ['127.0.0.1:1']}]\n", 2, 16, 2, "a bare 'no' is a boolean",
     NULL},
    {L P "workers:\n", 3, 9, 1, "'workers' has no value", NULL},
    {L P "workers: ~\n", 3, 10, 1, "'workers' has no value", NULL},
    {L P "log: {file: null}\n", 3, 13, 4, "'file' has no value", NULL},
    {L P "log:\n", 3, 5, 1, "'log' is a mapping of keys, not empty", NULL},
    {L "pools:\n", 2, 7, 1, "'pools' is a list, not empty", NULL},

    /* units and numbers */
    {L P "drain: {deadline: 5}\n", 3, 19, 1, "'5' has no unit", "did you mean '5s'?"},
    {L P "drain: {deadline: 5 s}\n", 3, 19, 3, "'5 s' is not a duration", "did you mean '5s'?"},
    {L P "drain: {deadline: 5sec}\n", 3, 19, 4, "is not a duration", "did you mean '5s'?"},
    {L P "drain: {deadline: 2 Hours}\n", 3, 19, 7, "is not a duration", "did you mean '2h'?"},
    {L P "drain: {deadline: 1.5s}\n", 3, 19, 4, "'1.5s' is not a duration", NULL},
    {L P "drain: {deadline: -5s}\n", 3, 19, 3, "'-5s' is not a duration", NULL},
    {L P "drain: {deadline: 10KiB}\n", 3, 19, 5, "'10KiB' is not a duration", NULL},
    {L P "drain: {deadline: 99d}\n", 3, 19, 3, "'deadline' is 0ms to 1d, not 99d", NULL},
    {L P "drain: {deadline: 99999999999999999999s}\n", 3, 19, 21, "is not a duration", NULL},
    {L P "workers: many\n", 3, 10, 4, "'many' is not a number for 'workers'", NULL},
    {L P "workers: 0\n", 3, 10, 1, "'workers' is 1 to 256, not 0", NULL},
    {L P "workers: 257\n", 3, 10, 3, "'workers' is 1 to 256, not 257", NULL},
    {L P "workers: [2]\n", 3, 10, 1, "'workers' is a number or auto, not a list", NULL},
    {L P "workers: {a: 2}\n", 3, 10, 1, "'workers' is a number or auto, not a mapping", NULL},
    {"listeners: [{name: web, listen: ':80', pool: app, limits: {body: 10 mb}}]\n" P, 1, 66, 5,
     "'10 mb' is not a size", "did you mean '10MB'?"},
    {"listeners: [{name: web, listen: ':80', pool: app, limits: {body: 10k}}]\n" P, 1, 66, 3,
     "'10k' is not a size", "did you mean '10KiB'?"},
    {"listeners: [{name: web, listen: ':80', pool: app, limits: {body: 5}}]\n" P, 1, 66, 1,
     "'5' has no unit", "did you mean '5B'?"},
    {"listeners: [{name: web, listen: ':80', pool: app, limits: {head: 1MiB}}]\n" P, 1, 66, 4,
     "'head' is 1KiB to 32KiB, not 1MiB", NULL},
    {L "pools: [{name: app, backends: [{address: '127.0.0.1:1', weight: 300}]}]\n", 2, 65, 3,
     "'weight' is 0 to 256, not 300", NULL},
    {L "pools: [{name: app, health: {rise: 0}, backends: ['127.0.0.1:1']}]\n", 2, 36, 1,
     "'rise' is 1 to 1000, not 0", NULL},

    /* words */
    {L P "engine: epol\n", 3, 9, 4, "'epol' is not a value of 'engine'", "did you mean 'epoll'?"},
    {L "pools: [{name: app, balance: roundrobin, backends: ['127.0.0.1:1']}]\n", 2, 30, 10,
     "'roundrobin' is not a value of 'balance'", "did you mean 'round_robin'?"},
    {L "pools: [{name: app, balance: zzz, backends: ['127.0.0.1:1']}]\n", 2, 30, 3,
     "'zzz' is not a value of 'balance'", NULL},
    {L "pools: [{name: app, retries: {on: [connect_failures]}, backends: ['127.0.0.1:1']}]\n", 2,
     36, 16, "is not a value of 'on'", "did you mean 'connect_failure'?"},

    /* names */
    {L "pools: [{name: my app, backends: ['127.0.0.1:1']}]\n", 2, 16, 6, "'my app' is not a name",
     NULL},
    {L "pools: [{name: '', backends: ['127.0.0.1:1']}]\n", 2, 16, 2, "'name' is empty", NULL},
    {L "pools: [{name: a1234567890123456789012345678901234567890123456789012345678901234, "
       "backends: ['127.0.0.1:1']}]\n",
     2, 16, 65, "'name' is longer than 64 bytes", NULL},
    {L "pools: [{name: app, backends: ['127.0.0.1:1']}, {name: app, backends: ['127.0.0.1:1']}]\n",
     2, 56, 3, "the pool 'app' is there twice", NULL},
    {"listeners: [{name: a, listen: ':80', pool: app}, {name: a, listen: ':81', pool: app}]\n" P, 1,
     57, 1, "the listener 'a' is there twice", NULL},
    {"listeners: [{name: a, listen: ':80', pool: app}, {name: b, listen: '[::]:80', "
     "pool: app}]\n" P,
     1, 68, 9, "the address '[::]:80' is there twice", NULL},
    {L "pools: [{name: app, backends: ['127.0.0.1:1', '127.0.0.1:1']}]\n", 2, 47, 13,
     "the backend '127.0.0.1:1' is there twice", NULL},
    {L "pools: [{name: app, backends: [{name: B, address: '127.0.0.1:1'}, {name: B, address: "
       "'127.0.0.1:2'}]}]\n",
     2, 74, 1, "the backend 'B' is there twice", NULL},
    {"listeners: [{name: web, listen: ':80', routes: [{name: r, pool: app, match: {path: /a}}, "
     "{name: r, pool: app}]}]\n" P,
     1, 97, 1, "the route 'r' is there twice", NULL},

    /* addresses, networks, statuses, paths, hosts, methods, fields */
    {L "pools: [{name: app, backends: ['127.0.0.1']}]\n", 2, 32, 11,
     "'127.0.0.1' is not an address", NULL},
    {L "pools: [{name: app, backends: ['127.0.0.1:0']}]\n", 2, 32, 13, "a backend needs a port",
     NULL},
    {L "pools: [{name: app, backends: [':8881']}]\n", 2, 32, 7, "a backend needs a host",
     "did you mean '127.0.0.1:8881'?"},
    {"listeners: [{name: web, listen: 'localhost:80', pool: app}]\n" P, 1, 33, 14,
     "an address to listen on is an IP address", NULL},
    {"listeners: [{name: web, listen: 8080, pool: app}]\n" P, 1, 33, 4, "'8080' is not an address",
     "did you mean ':8080'?"},
    {"listeners: [{name: web, listen: ':99999', pool: app}]\n" P, 1, 33, 8, "is not an address",
     NULL},
    {"listeners: [{name: web, listen: [], pool: app}]\n" P, 1, 33, 1, "'listen' is an empty list",
     NULL},
    {"listeners: [{name: web, listen: ':80', pool: app, trusted: [10.0.0.1/8]}]\n" P, 1, 61, 10,
     "'10.0.0.1/8' is not a network", NULL},
    {L "pools: [{name: app, health: {type: http, expect: 600}, backends: ['127.0.0.1:1']}]\n", 2,
     50, 3, "'600' is not a status", NULL},
    {L "pools: [{name: app, health: {type: http, expect: 300-200}, backends: ['127.0.0.1:1']}]\n",
     2, 50, 7, "'300-200' is not a status", NULL},
    {L "pools: [{name: app, health: {type: http, path: health}, backends: ['127.0.0.1:1']}]\n", 2,
     48, 6, "a path begins with '/'", NULL},
#define ROUTE(match) \
    "listeners: [{name: web, listen: ':80', routes: [{pool: app, match: {" match "}}]}]\n" P
    {ROUTE("path: /a?b"), 1, 75, 4, "a path ends before '?'", NULL},
    {ROUTE("path: /a%2fb"), 1, 75, 6, "requests with %00, %2F or %5C", NULL},
    {ROUTE("path: /%41"), 1, 75, 4, "needs none", NULL},
    {ROUTE("path: /%c3"), 1, 75, 4, "in capitals", NULL},
    {ROUTE("path: /%4"), 1, 75, 3, "followed by two hex digits", NULL},
    {ROUTE("path: /a/../b"), 1, 75, 7, "'.' and '..' are resolved", NULL},
    {ROUTE("path: '/ä'"), 1, 75, 4, "write it as %XX", NULL},
    {ROUTE("path: /a, path_prefix: /b"), 1, 49, 1, "a path or a path_prefix, not both", NULL},
    {ROUTE("host: 'a.example:80'"), 1, 75, 14, "hosts are matched without port", NULL},
    {ROUTE("host: 'a.*.example'"), 1, 75, 13, "can only stand for all of the first labels", NULL},
    {ROUTE("host: ['a b']"), 1, 76, 5, "a host has letters", NULL},
    {ROUTE("method: [get]"), 1, 78, 3, "'get' is never sent", "did you mean 'GET'?"},
    {ROUTE("method: 'G T'"), 1, 77, 5, "'G T' is not a method", NULL},
    {ROUTE("headers: [x]"), 1, 78, 1, "'headers' is", NULL},
    {ROUTE("headers: {'a b': x}"), 1, 79, 5, "'a b' is not a field name", NULL},
    {ROUTE("headers: {x-a: x, X-A: y}"), 1, 87, 3, "the field 'x-a' is given twice", NULL},
    {ROUTE("headers: {x-a: yes}"), 1, 84, 3, "a bare 'yes' is a boolean", NULL},

    /* what does not fit together */
    {"listeners: [{name: web, listen: ':80', pool: ap}]\n" P, 1, 46, 2, "there is no pool 'ap'",
     "did you mean 'app'?"},
    {"listeners: [{name: web, listen: ':80'}]\n" P, 1, 20, 3,
     "listener 'web' has no pool and no routes", "add 'pool: NAME'"},
    {"listeners: [{name: db, listen: ':80', protocol: tcp, pool: app, routes: [{match: {host: a}, "
     "pool: app}]}]\n" P,
     1, 89, 1, "is not known of a tcp connection", NULL},
    {"listeners: [{name: web, listen: ':80', pool: app, tls: {}}]\n" P, 1, 51, 3,
     "tls of listener 'web' has no certificates", "add 'certificates: [{cert: FILE, key: FILE}]'"},
    {"listeners: [{name: web, listen: ':80', pool: app, tls: {certificates: [{cert: a}], "
     "client_ca: b}}]\n" P,
     1, 95, 1, "is for 'client_auth: require'", NULL},
    {"listeners: [{name: web, listen: ':80', pool: app, tls: {certificates: [{cert: a}], "
     "client_auth: require}}]\n" P,
     1, 97, 7, "needs 'client_ca'", NULL},
    {"listeners: [{name: web, listen: ':80', pool: app, tls: {certificates: [{cert: a}]}, "
     "redirect_https: 443}]\n" P,
     1, 101, 3, "is for listeners without tls", NULL},
    {"listeners: [{name: web, listen: ':80', pool: app, routes: [{match: {client_fingerprint: "
     "'ab:c'}, pool: app}], tls: {certificates: [{cert: a}], client_auth: require, "
     "client_ca: b}}]\n" P,
     1, 89, 6, "'ab:c' is no SHA-256 fingerprint: 64 hex digits", "openssl x509"},
    {"listeners: [{name: db, listen: ':80', protocol: tcp, pool: app, http2: false}]\n" P, 1, 72, 5,
     "is for protocol: http", NULL},
    {L "pools: [{name: app, backends: ['127.0.0.1:1'], tls: {key: a}}]\n", 2, 59, 1, "needs 'cert'",
     NULL},
    {L "pools: [{name: app, backends: ['127.0.0.1:1'], health: {service: a}}]\n", 2, 66, 1,
     "for health checks of type grpc", "add 'type: grpc'"},
    {"listeners: [{name: db, listen: ':80', protocol: tcp, pool: app}]\n"
     "pools: [{name: app, protocol: http2, backends: ['127.0.0.1:1']}]\n",
     1, 60, 3, "listener 'db' speaks tcp but pool 'app' is http2", NULL},
    {"listeners: [{name: db, listen: ':80', protocol: tcp, pool: app}]\n"
     "pools: [{name: app, protocol: http, backends: ['127.0.0.1:1']}]\n",
     1, 60, 3, "listener 'db' speaks tcp but pool 'app' is http", NULL},
    {"listeners: [{name: web, listen: ':80', pool: app}, {name: db, listen: ':81', protocol: tcp, "
     "pool: app}]\n" P,
     1, 99, 3, "listener 'db' speaks tcp but pool 'app' is http", NULL},
    {L "pools: [{name: app, health: {path: /x}, backends: ['127.0.0.1:1']}]\n", 2, 36, 2,
     "'path' is for health checks of type http", "add 'type: http'"},
    {L P "admin: {listen: 'unix:/s'}\n", 3, 17, 9, "is named by 'socket'", NULL},

    /* missing */
    {L, 1, 46, 3, "there is no pool 'app'", NULL},
    {"listeners: [{name: web, listen: ':80'}]\n", 1, 20, 3,
     "listener 'web' has no pool and no routes", "add 'pool: NAME'"},
    {P, 1, 1, 1, "the configuration has no 'listeners'", NULL},
    {L "pools: []\n", 1, 46, 3, "there is no pool 'app'", NULL},
    {"listeners: []\n" P, 1, 12, 1, "'listeners' is an empty list", NULL},
    {L "pools: [{name: app}]\n", 2, 9, 1, "this pool has no 'backends'", NULL},
    {L "pools: [{name: app, backends: [{weight: 1}]}]\n", 2, 32, 1, "this backend has no 'address'",
     NULL},
    {L "pools: app\n", 2, 8, 3, "'pools' is a list, not a value", NULL},
    {L "pools: [app]\n", 2, 9, 3, "'pool' is a mapping of keys, not a value", NULL},

    /* variables */
    {L P "log: {file: \"${NOPE}\"}\n", 3, 14, 7, "the environment has no variable 'NOPE'",
     "set it, or write ${NAME:-default}"},
    {L P "log: {file: \"x${NOPE}\"}\n", 3, 15, 7, "the environment has no variable 'NOPE'",
     "set it"},
    {L P "log: {file: \"${PORT\"}\n", 3, 14, 2, "'${' without its '}'", NULL},
    {L P "log: {file: \"${1A}\"}\n", 3, 14, 5, "'1A' is not the name of an environment variable",
     NULL},
    {L P "log: {file: \"${LINES}\"}\n", 3, 13, 10, "no line ends, tabs or control characters",
     NULL},
    {L P "workers: ${EMPTY}\n", 3, 10, 8, "'' is not a number for 'workers'", NULL},
    {L P "log: {file: \"a\\tb\"}\n", 3, 13, 6, "no line ends, tabs or control characters", NULL},

    /* YAML that is not ours */
    {L P "log: &x {level: info}\n", 3, 6, 2, "anchors ('&x') are not allowed", NULL},
    {L P "log: *x\n", 3, 6, 2, "aliases ('*x') are not allowed", NULL},
    {L P "workers: !!int 2\n", 3, 10, 7, "tags ('tag:yaml.org,2002:int') are not allowed", NULL},
    {L P "---\nworkers: 2\n", 3, 1, 3, "a second document begins here", NULL},
    {"[a, b]\n", 1, 1, 1, "a configuration is a mapping of keys, not a list", NULL},
    {"hello\n", 1, 1, 5, "a configuration is a mapping of keys, not a value", NULL},
    {"", 0, 0, 1, "there is no configuration in it", NULL},
    {"# nothing\n", 0, 0, 1, "there is no configuration in it", NULL},
    {"---\n", 0, 0, 1, "there is no configuration in it", NULL},

    /* syntax */
    {"log:\n\tlevel: info\n", 2, 1, 1, "a tab cannot indent a line; use spaces", NULL},
    {"log: {level: info\n", 2, 1, 1, "a ',' or '}' is missing", NULL},
    {"listeners: [{name: web}\n", 2, 1, 1, "a ',' or ']' is missing", NULL},
    {"log: \"abc\nx: y\n", 1, 6, 1, "the quote that begins here is never closed", NULL},
    {"workers: 2: 3\n", 1, 11, 1, "a ':' is not expected here", NULL},
    {"log:\n  level: info\n file: x\n", 3, 2, 1, "does not fit the block around it", NULL},
    {"log: @x\n", 1, 6, 1, "a value cannot begin with '@'; put it in quotes", NULL},
    {"log: `x\n", 1, 6, 1, "a value cannot begin with '`'; put it in quotes", NULL},
    {"log: \"a\\qb\"\n", 1, 8, 1, "this escape is not known", NULL},
    {"log: - a\n", 1, 6, 1, "a list item is not expected here", NULL},
    {"workers\nlog: x\n", 2, 4, 1, "a ':' is not expected here", NULL},
    {"a: \xff\n", 1, 4, 1, "the byte 0xff is not UTF-8", NULL},
    {"ä: \xc3(\n", 1, 4, 1, "the byte 0xc3 is not UTF-8", NULL},
    {"a: \xed\xa0\x80\n", 1, 4, 1, "the byte 0xed is not UTF-8", NULL},
    {"a: \x01\n", 1, 4, 1, "a control character", NULL},
    {"a: \x7f\n", 1, 4, 1, "a control character", NULL},
    {"a: b\rc: d\n", 1, 5, 1, "a carriage return without a line feed", NULL},
    {"a: \xe2\x80\xa8\n", 1, 4, 1, "a Unicode line separator", NULL},
    {"\xff\xfe"
     "a",
     0, 0, 1, "the file is UTF-16; save it as UTF-8", NULL},
};

static const struct diagnostic *first_error(const struct diagnostics *d)
{
    for (size_t i = 0; i < d->count; i++)
        if (d->items[i].level == DIAGNOSTIC_ERROR)
            return &d->items[i];
    return NULL;
}

static bool as_expected(const struct mistake *m, const struct diagnostics *d)
{
    const struct diagnostic *item = first_error(d);
    return d->errors == 1 && item && item->line == m->line && item->column == m->column &&
           item->length == m->length && strstr(item->message, m->message) &&
           (m->hint ? item->hint && strstr(item->hint, m->hint) : item->hint == NULL);
}

static void test_mistakes(void **state)
{
    size_t wrong = 0;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(mistakes); i++) {
        struct loaded l = loaded_text(mistakes[i].text);
        if (!as_expected(&mistakes[i], &l.d)) {
            const struct diagnostic *item = first_error(&l.d);
            fprintf(stderr, "case %zu, expected %u:%u+%u %s (%s)\n%s", i, mistakes[i].line,
                    mistakes[i].column, mistakes[i].length, mistakes[i].message,
                    mistakes[i].hint ? mistakes[i].hint : "", mistakes[i].text);
            if (item)
                fprintf(stderr, "  length %u\n", item->length);
            diagnostics_print(&l.d, stderr, false);
            wrong++;
        }
        loaded_fini(&l);
    }
    assert_int_equal(wrong, 0);
}

static const struct mistake warnings[] = {
    {"listeners: [{name: web, listen: [':80', ':443'], redirect_https: 443}]\n", 1, 66, 3,
     "this is the listener's own port, where no https is spoken", NULL},
    {"listeners: [{name: web, listen: ':80', pool: app, routes: [{match: {client_subject: a.b}, "
     "pool: app}]}]\n" P,
     1, 85, 3, "this never matches: the listener's tls has no client_auth", NULL},
    {"listeners: [{name: web, listen: ':80', pool: app, routes: [{match: {client_san: a.b}, "
     "pool: app}]}]\n" P,
     1, 81, 3, "this never matches: the listener's tls has no client_auth", NULL},
    {"listeners: [{name: web, listen: ':80', pool: app, routes: [{match: {sni: a.b}, "
     "pool: app}]}]\n" P,
     1, 74, 3, "this never matches: the listener has no tls", NULL},
    {L "pools: [{name: app, backends: ['127.0.0.1:1']}, {name: b, backends: ['127.0.0.1:1']}]\n", 2,
     56, 1, "no listener uses pool 'b'", NULL},
    {L "pools: [{name: app, backends: [{address: '127.0.0.1:1', weight: 0}]}]\n", 2, 21, 8,
     "every weight is 0", NULL},
    {L "pools: [{name: app, backends: [{address: '127.0.0.1:1', backup: true}]}]\n", 2, 21, 8,
     "every backend of pool 'app' is a backup", NULL},
    {L "pools: [{name: app, health: {interval: 1s, timeout: 2s}, backends: ['127.0.0.1:1']}]\n", 2,
     53, 2, "longer than the interval", NULL},
    {L "pools: [{name: app, health: {type: none}, passive_health: {failures: 0}, backends: "
       "['127.0.0.1:1']}]\n",
     2, 36, 4, "a dead backend keeps its share", NULL},
    {L "pools: [{name: app, health: {type: grpc}, backends: ['127.0.0.1:1']}]\n", 2, 36, 4,
     "not 'protocol: http2'", NULL},
    {L P "admin: {listen: ':9900'}\n", 3, 17, 7, "keep it on loopback", NULL},
    {L P "access_log: {file: x, format: none}\n", 3, 20, 1, "nothing is written to this file",
     NULL},
    {"listeners: [{name: web, listen: ':80', routes: [{pool: app}, {pool: app, match: {path: "
     "/}}]}]\n" P,
     1, 62, 1, "are never reached", NULL},
    {"listeners: [{name: web, listen: ':80', pool: app, limits: {head: 1KiB}}]\n" P, 1, 51, 6,
     "so 'line' never applies", NULL},
};

static void test_warnings(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(warnings); i++) {
        const struct mistake *w = &warnings[i];
        struct loaded l = loaded_good(w->text);
        if (l.d.count != 1)
            diagnostics_print(&l.d, stderr, false);
        assert_int_equal(l.d.count, 1);
        assert_int_equal(l.d.warnings, 1);
        const struct diagnostic *item = &l.d.items[0];
        if (item->column != w->column || item->length != w->length)
            diagnostics_print(&l.d, stderr, false);
        assert_int_equal(item->level, DIAGNOSTIC_WARNING);
        assert_int_equal(item->line, w->line);
        assert_int_equal(item->column, w->column);
        assert_int_equal(item->length, w->length);
        assert_non_null(strstr(item->message, w->message));
        loaded_fini(&l);
    }
}

/* One run finds them all, in the order of the text. */
static void test_every_error_at_once(void **state)
{
    static const char text[] = "workers: none\n"
                               "engine: fast\n"
                               "listeners:\n"
                               "  - {name: web, listen: 80, pool: nope}\n"
                               "  - {name: web, pool: app, lissten: ':81'}\n"
                               "pools:\n"
                               "  - name: app\n"
                               "    timeouts: {connect: 5, response: 1x}\n"
                               "    backends:\n"
                               "      - {address: 127.0.0.1, weight: -1}\n"
                               "      - {backup: yes}\n"
                               "log: {level: *a}\n"
                               "drain: [\n";
    /* after a syntax error nothing is called missing */
    static const uint32_t lines[] = {1, 2, 4, 5, 5, 8, 8, 10, 10, 11, 12, 13, 14};
    (void)state;
    struct loaded l = loaded_text(text);
    assert_int_equal(l.d.count, ARRAY_LEN(lines));
    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        assert_int_equal(l.d.items[i].line, lines[i]);
    loaded_fini(&l);
}

static void test_both_places_of_a_duplicate(void **state)
{
    (void)state;
    struct loaded l = loaded_text(L P "log: {level: info}\nlog: {level: warn}\n");
    assert_int_equal(l.d.count, 1);
    assert_int_equal(l.d.items[0].line, 4);
    assert_int_equal(l.d.items[0].also.line, 3);
    assert_int_equal(l.d.items[0].also.column, 1);
    assert_string_equal(l.d.items[0].also.label, "first given here");
    loaded_fini(&l);
}

static void test_legal_words_are_listed(void **state)
{
    (void)state;
    struct loaded l = loaded_text(L P "log: {lvl: info, format: x}\n");
    assert_int_equal(l.d.count, 2);
    assert_string_equal(l.d.items[0].note, "the keys here are: level, file, format");
    assert_string_equal(l.d.items[1].note, "one of: text, json");
    loaded_fini(&l);
}

/* A NUL ends no C string early. */
static void test_nul(void **state)
{
    static const char text[] = L P "log: {file: a\0b}\n";
    struct diagnostics d;
    const struct snapshot *s = NULL;
    (void)state;
    assert_int_equal(config_load("t", span_of(text, sizeof(text) - 1), NULL, &d, &s), -1);
    assert_string_equal(d.items[0].message, "a NUL byte; this is not a text file");
    assert_int_equal(d.items[0].line, 3);
    assert_int_equal(d.items[0].column, 14);
    diagnostics_fini(&d);
}

static char *repeated(const char *part, size_t times, const char *before)
{
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    assert_non_null(out);
    (void)fputs(before, out);
    for (size_t i = 0; i < times; i++)
        (void)fputs(part, out);
    (void)fclose(out);
    return text;
}

/* What grows without end is refused early, whatever it is. */
static void test_floods(void **state)
{
    (void)state;
    static const struct {
        const char *part;
        size_t times;
        const char *before, *message;
    } floods[] = {
        {"[", 100000, "", "nested deeper than"},
        {"{a: ", 100000, "", "nested deeper than"},
        {"x: 1\n", 100000, "", "unknown key 'x'"},
        {"- [a]\n", 100000, "pools:\n", "'pools' has 100000 items; the most is 10000"},
        {"a,", CONFIG_VALUE_MAX, "workers: ", "longer than"},
    };
    for (size_t i = 0; i < ARRAY_LEN(floods); i++) {
        char *text = repeated(floods[i].part, floods[i].times, floods[i].before);
        struct loaded l = loaded_text(text);
        bool found = false;
        assert_true(l.d.count > 0 && l.d.count <= DIAGNOSTICS_MAX);
        for (size_t k = 0; k < l.d.count; k++)
            found |= strstr(l.d.items[k].message, floods[i].message) != NULL;
        assert_true(found);
        char *printed = printed_diagnostics(&l.d);
        assert_true(strlen(printed) < 100000);
        free(printed);
        loaded_fini(&l);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_warnings),
        cmocka_unit_test(test_every_error_at_once),
        cmocka_unit_test(test_both_places_of_a_duplicate),
        cmocka_unit_test(test_legal_words_are_listed),
        cmocka_unit_test(test_nul),
        cmocka_unit_test(test_floods),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
