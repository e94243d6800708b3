/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What of a configuration can be simulated. TLS and PROXY headers are left out on both sides
 * (config_overrides.inward): they cost time, which is not simulated, and decide nothing but what is
 * noted here. What the models do not speak is refused.
 */

#include "config/snapshot.h"

/* False with a sentence in ret_why. */
NODISCARD bool simulable(const struct snapshot *s, char *ret_why, size_t why_size);

/* What is left out, one sentence a call; of a snapshot before config_override. */
typedef void simulable_note_fn(void *user, const char *sentence);
void simulable_notes(const struct snapshot *s, simulable_note_fn *note, void *user);
