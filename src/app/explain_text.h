/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * An explanation for people, from the object that `POST /api/v1/explain` answers with: so a file
 * and a running balancer are shown by the same words.
 *
 * Thread rule: any single thread.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

void explain_print(const json_t *explanation, FILE *out, bool colour);

/* Whether the request is forwarded or waits for a backend; else Poise answers it itself. */
bool explain_served(const json_t *explanation);
