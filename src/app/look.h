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
const char *look_text(const json_t *v, const char *path);
double look_number(const json_t *v, const char *path);
bool look_has(const json_t *v, const char *path);
const json_t *look_at(const json_t *v, const char *path);

#define LOOK_TEXT_MAX 64

/* "812.5", "12.3k"; "0.42 ms"; "-" where there is none. All return `out`. */
const char *look_rate(char out[LOOK_TEXT_MAX], double per_second);
const char *look_ms(char out[LOOK_TEXT_MAX], const json_t *v, const char *path);
const char *look_count(char out[LOOK_TEXT_MAX], double n);
/* "3s", "12m", "5h", "3d" of milliseconds; of an RFC 3339 time until now. */
const char *look_age(char out[LOOK_TEXT_MAX], double ms);
const char *look_since(char out[LOOK_TEXT_MAX], const json_t *v, const char *path);

/* How the state of a backend is shown. */
enum table_tone look_tone(const char *state);

/* Opens the way to the balancer, asks for JSON, closes. An enum exit_code; the value is to be given
 * back with json_decref. */
int look_get(const struct cli_args *args, const char *path, json_t **ret_value);

/* Prints JSON as --json does. */
void look_print(const json_t *v);

/* The path of the pool that is the operand, or of all pools. */
#define LOOK_PATH_MAX 1024
const char *look_pools_path(char out[LOOK_PATH_MAX], const char *pool);

/* Calls `each` for every backend of an answer of /pools or /pools/{pool}. */
typedef void look_backend_fn(void *user, const json_t *pool, const json_t *backend);
void look_backends(const json_t *answer, look_backend_fn *each, void *user);
