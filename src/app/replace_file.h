/* SPDX-License-Identifier: MIT */
#pragma once

/* A file replaced in one step: whoever reads it sees the old text or the new one, even after a
 * crash. Any thread. */

#include "base/bytes.h"
#include "base/compiler.h"

#include <stddef.h>

/* Writes `text` beside `path` (what a symbolic link points to), with its owner and mode, and
 * renames it. 0, or a negative reason with a sentence in ret_why; then the file is as it was. */
NODISCARD int replace_file(const char *path, struct span text, char *ret_why, size_t why_size);
