/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What a supervisor hands to the program that takes its place in the same process: everything it
 * knows, in a memory file, and its descriptors, which stay open.
 *
 *   program, path of the configuration, words ── who runs, over which channels ── what is held
 *
 * Only a program of the same version of this form can take over; an engine says in its greeting
 * which one its program knows. Thread rule: the supervisor's one thread.
 */

#include <stdbool.h>

struct supervisor;

/* Raised whenever what is written changes. */
#define HANDOVER_VERSION 1

/* What the origin of a supervisor that was taken over points to. */
struct handover_texts {
    char *path, *text, *overrides[4];
};

/* Takes over from the file with that descriptor, a number as text. False if it is none of ours. */
bool handover_take(struct supervisor *s, const char *descriptor, struct handover_texts *ret_texts);
void handover_texts_free(struct handover_texts *texts);
