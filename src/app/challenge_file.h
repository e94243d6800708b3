/* SPDX-License-Identifier: MIT */
#pragma once

/* The file of an ACME challenge, opened by whoever may open files. */

#include "base/compiler.h"

/* A descriptor to read folder/token, or -errno. `token` must be one (else -EINVAL), so it leads
 * nowhere else, and what stands there must be a file itself: no link, nothing that blocks. */
NODISCARD int challenge_file_open(const char *folder, const char *token);
