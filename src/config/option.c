/* SPDX-License-Identifier: MIT */
#include "config/option.h"

#include "base/check.h"
#include "base/compiler.h"
#include "base/limits.h"
#include "config/snapshot.h"

#define HOUR_MS        (3600 * 1000ull)
#define SIZE_BYTES_MAX (1ull << 50) /* a petabyte: larger is a mistake */

/* Of enum loop_engine, which io/ declares on the same level as this folder. */
enum { ENGINE_AUTO, ENGINE_EPOLL, ENGINE_URING };

static const struct option_word engine_words[] = {
    {"auto", ENGINE_AUTO, NULL},
    {"epoll", ENGINE_EPOLL, NULL},
    {"uring", ENGINE_URING, NULL},
    {0},
};

static const struct option_word sandbox_words[] = {
    {"auto", SANDBOX_AUTO, NULL},
    {"none", SANDBOX_NONE, NULL},
    {0},
};

static const struct option_word log_level_words[] = {
    {"error", LOG_LEVEL_ERROR, NULL},
    {"warn", LOG_LEVEL_WARN, NULL},
    {"info", LOG_LEVEL_INFO, NULL},
    {"debug", LOG_LEVEL_DEBUG, NULL},
    {0},
};

static const struct option_word log_format_words[] = {
    {"text", LOG_FORMAT_TEXT, NULL},
    {"json", LOG_FORMAT_JSON, NULL},
    {0},
};

static const struct option_word access_format_words[] = {
    {"none", ACCESS_NONE, NULL},         {"json", ACCESS_JSON, NULL},
    {"combined", ACCESS_COMBINED, NULL}, {"clf", ACCESS_CLF, NULL},
    {"haproxy", ACCESS_HAPROXY, NULL},   {0},
};

static const struct option_word protocol_words[] = {
    {"http", PROTOCOL_HTTP, NULL},
    {"tcp", PROTOCOL_TCP, NULL},
    {0},
};

static const struct option_word pool_protocol_words[] = {
    {"http", PROTOCOL_HTTP, NULL},
    {"http2", PROTOCOL_HTTP2, NULL},
    {"tcp", PROTOCOL_TCP, NULL},
    {0},
};

static const struct option_word tls_version_words[] = {
    {"1.2", TLS_VERSION_1_2, NULL},
    {"1.3", TLS_VERSION_1_3, NULL},
    {0},
};

static const struct option_word tls_records_words[] = {
    {"own", TLS_RECORDS_OWN, NULL},
    {"openssl", TLS_RECORDS_OPENSSL, NULL},
    {0},
};

static const struct option_word client_auth_words[] = {
    {"none", CLIENT_AUTH_NONE, NULL},
    {"optional", CLIENT_AUTH_OPTIONAL, NULL},
    {"require", CLIENT_AUTH_REQUIRE, NULL},
    {0},
};

static const struct option_word proxy_words[] = {
    {"none", PROXY_NONE, NULL},
    {"v1", PROXY_V1, NULL},
    {"v2", PROXY_V2, NULL},
    {0},
};

static const struct option_word balance_words[] = {
    {"round_robin", BALANCE_ROUND_ROBIN, NULL},
    {"least_connections", BALANCE_LEAST_CONNECTIONS, NULL},
    {"random", BALANCE_RANDOM, NULL},
    {"p2c", BALANCE_P2C, NULL},
    {"source_hash", BALANCE_SOURCE_HASH, NULL},
    {0},
};

static const struct option_word health_words[] = {
    {"none", HEALTH_NONE, NULL},
    {"tcp", HEALTH_TCP, NULL},
    {"http", HEALTH_HTTP, NULL},
    {"grpc", HEALTH_GRPC, NULL},
    {0},
};

static const struct option_word retry_words[] = {
    {"connect_failure", RETRY_ON_CONNECT_FAILURE, NULL},
    {"reset_before_response", RETRY_ON_RESET_BEFORE_RESPONSE, NULL},
    {0},
};

/* A default that no text of the table can equal. */
const char option_required[] = "";

#define none             NULL
#define NONE             NULL
#define REQUIRED         option_required
#define FIELD_SIZE(t, f) ((uint32_t)sizeof(((t *)0)->f))

#define OPTION(scope_, name_, type_, words_, owner, field, min_, max_, unit_, default_, help_) \
    {.scope = SCOPE_##scope_,                                                                  \
     .type = TYPE_##type_,                                                                     \
     .name = #name_,                                                                           \
     .words = words_,                                                                          \
     .offset = offsetof(owner, field),                                                         \
     .size = FIELD_SIZE(owner, field),                                                         \
     .min = min_,                                                                              \
     .max = max_,                                                                              \
     .unit = unit_,                                                                            \
     .fallback = default_,                                                                     \
     .help = help_},
#define LIST(scope_, name_, type_, words_, owner, field, count, min_, max_, default_, help_) \
    {.scope = SCOPE_##scope_,                                                                \
     .type = TYPE_##type_,                                                                   \
     .name = #name_,                                                                         \
     .words = words_,                                                                        \
     .list = true,                                                                           \
     .offset = offsetof(owner, field),                                                       \
     .size = FIELD_SIZE(owner, field),                                                       \
     .count_offset = offsetof(owner, count),                                                 \
     .min = min_,                                                                            \
     .max = max_,                                                                            \
     .unit = "values",                                                                       \
     .fallback = default_,                                                                   \
     .help = help_},
#define BLOCK(scope_, name_, child_, help_) \
    {.scope = SCOPE_##scope_,               \
     .type = TYPE_BLOCK,                    \
     .name = #name_,                        \
     .child = SCOPE_##child_,               \
     .unit = "",                            \
     .help = help_},
#define BLOCKS(scope_, name_, child_, owner, field, count, min_, max_, default_, help_) \
    {.scope = SCOPE_##scope_,                                                           \
     .type = TYPE_BLOCKS,                                                               \
     .name = #name_,                                                                    \
     .child = SCOPE_##child_,                                                           \
     .offset = offsetof(owner, field),                                                  \
     .size = FIELD_SIZE(owner, field),                                                  \
     .count_offset = offsetof(owner, count),                                            \
     .min = min_,                                                                       \
     .max = max_,                                                                       \
     .unit = "items",                                                                   \
     .fallback = default_,                                                              \
     .help = help_},

static const struct option options[] = {
#include "config/option.def"
};

static const struct scope_info scope_infos[] = {
    [SCOPE_ROOT] = {"configuration", "", 0, 0},
    [SCOPE_ADMIN] = {"admin", "admin", 0, 0},
    [SCOPE_LOG] = {"log", "log", 0, 0},
    [SCOPE_ACCESS_LOG] = {"access_log", "access_log", 0, 0},
    [SCOPE_DRAIN] = {"drain", "drain", 0, 0},
    [SCOPE_LISTENER] = {"listener", "listeners[]", sizeof(struct listener_conf),
                        _Alignof(struct listener_conf)},
    [SCOPE_LISTENER_TLS] = {"tls", "listeners[].tls", 0, 0},
    [SCOPE_CERTIFICATE] = {"certificate", "listeners[].tls.certificates[]",
                           sizeof(struct certificate_conf), _Alignof(struct certificate_conf)},
    [SCOPE_LISTENER_TIMEOUTS] = {"timeouts", "listeners[].timeouts", 0, 0},
    [SCOPE_LISTENER_LIMITS] = {"limits", "listeners[].limits", 0, 0},
    [SCOPE_ROUTE] = {"route", "listeners[].routes[]", sizeof(struct route_conf),
                     _Alignof(struct route_conf)},
    [SCOPE_MATCH] = {"match", "listeners[].routes[].match", 0, 0},
    [SCOPE_POOL] = {"pool", "pools[]", sizeof(struct pool_conf), _Alignof(struct pool_conf)},
    [SCOPE_POOL_TLS] = {"tls", "pools[].tls", 0, 0},
    [SCOPE_HEALTH] = {"health", "pools[].health", 0, 0},
    [SCOPE_PASSIVE_HEALTH] = {"passive_health", "pools[].passive_health", 0, 0},
    [SCOPE_RETRIES] = {"retries", "pools[].retries", 0, 0},
    [SCOPE_POOL_TIMEOUTS] = {"timeouts", "pools[].timeouts", 0, 0},
    [SCOPE_KEEPALIVE] = {"keepalive", "pools[].keepalive", 0, 0},
    [SCOPE_QUEUE] = {"queue", "pools[].queue", 0, 0},
    [SCOPE_BACKEND] = {"backend", "pools[].backends[]", sizeof(struct backend_conf),
                       _Alignof(struct backend_conf)},
};

static_assert(ARRAY_LEN(scope_infos) == SCOPE_COUNT, "each scope has its row");

const struct scope_info *scope_info(enum scope scope)
{
    CHECK(scope < SCOPE_COUNT);
    return &scope_infos[scope];
}

const struct option *scope_options(enum scope scope, size_t *ret_count)
{
    size_t first = 0;
    while (first < ARRAY_LEN(options) && options[first].scope != scope)
        first++;
    CHECK(first < ARRAY_LEN(options));
    size_t end = first;
    while (end < ARRAY_LEN(options) && options[end].scope == scope)
        end++;
    *ret_count = end - first;
    return &options[first];
}

const struct option *option_find(enum scope scope, struct span name)
{
    size_t count;
    const struct option *o = scope_options(scope, &count);
    for (size_t i = 0; i < count; i++)
        if (span_eq(span_cstr(o[i].name), name))
            return &o[i];
    return NULL;
}

bool option_elsewhere(enum scope scope, struct span name, enum scope *ret_scope)
{
    for (size_t i = 0; i < ARRAY_LEN(options); i++) {
        if (options[i].scope == scope || !span_eq(span_cstr(options[i].name), name))
            continue;
        *ret_scope = options[i].scope;
        return true;
    }
    return false;
}

const struct option_word *option_word_find(const struct option_word *words, struct span name)
{
    for (; words->name; words++)
        if (span_eq(span_cstr(words->name), name))
            return words;
    return NULL;
}

const char *option_word_of(const struct option_word *words, int value)
{
    for (; words->name; words++)
        if (words->value == value)
            return words->name;
    return NULL;
}

const char *balance_name(enum balance b)
{
    const char *name = option_word_of(balance_words, (int)b);
    CHECK(name != NULL);
    return name;
}

const char *protocol_name(enum protocol p)
{
    const char *name = option_word_of(pool_protocol_words, (int)p);
    CHECK(name != NULL);
    return name;
}
