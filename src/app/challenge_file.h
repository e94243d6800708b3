/* SPDX-License-Identifier: MIT */
#pragma once

/* The files of ACME challenges, for whoever may open files. */

#include "base/compiler.h"

#include <stddef.h>

/* A descriptor to read folder/token, or -errno. `token` must be one (else -EINVAL), so it leads
 * nowhere else, and what stands there must be a file itself: no link, nothing that blocks. */
NODISCARD int challenge_file_open(const char *folder, const char *token);

/* The names in that folder that are tokens, each with a newline behind it, whatever stands there:
 * malloc'd, NUL-terminated. 0, or -errno; -E2BIG when it holds more than CHALLENGE_FILES_MAX. */
NODISCARD int challenge_file_list(const char *folder, char **ret_names, size_t *ret_len);
