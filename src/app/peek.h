/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What verbs that look into a running balancer share: reading its JSON without caring which fields
 * are there, and saying times and counts as people read them. Thread rule: the main thread.
 */

#include "app/control.h"
#include "app/table.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* A field, or what stands for it when it is not there. Paths into objects: "latency_ms.p50". */
const char *peek_text(const json_t *v, const char *path);
double peek_number(const json_t *v, const char *path);
bool peek_has(const json_t *v, const char *path);
const json_t *peek_at(const json_t *v, const char *path);

#define PEEK_TEXT_MAX 64

/* "812.5", "12.3k"; "0.42 ms"; "-" where there is none. All return `out`. */
const char *peek_rate(char out[PEEK_TEXT_MAX], double per_second);
const char *peek_ms(char out[PEEK_TEXT_MAX], const json_t *v, const char *path);
const char *peek_count(char out[PEEK_TEXT_MAX], double n);
/* "3s", "12m", "5h", "3d" of milliseconds; of an RFC 3339 time until now. */
const char *peek_age(char out[PEEK_TEXT_MAX], double ms);
/* A time of day as the API writes it, in seconds since 1970; false where there is none. */
bool peek_time(const json_t *v, const char *path, int64_t *ret_s);
const char *peek_since(char out[PEEK_TEXT_MAX], const json_t *v, const char *path);

/* How the state of a backend is shown. */
enum table_tone peek_tone(const char *state);

/* Opens the way to the balancer, asks for JSON, closes. An enum exit_code; the value is to be given
 * back with json_decref. */
int peek_get(const struct cli_args *args, const char *path, json_t **ret_value);

/* Prints JSON as --json does. */
void peek_print(const json_t *v);

/* The path of the pool that is the operand, or of all pools. */
#define PEEK_PATH_MAX 1024
const char *peek_pools_path(char out[PEEK_PATH_MAX], const char *pool);

/* Calls `each` for every backend of an answer of /pools or /pools/{pool}. */
typedef void peek_backend_fn(void *user, const json_t *pool, const json_t *backend);
void peek_backends(const json_t *answer, peek_backend_fn *each, void *user);
