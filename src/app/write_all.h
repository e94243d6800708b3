/* SPDX-License-Identifier: MIT */
#pragma once

/* Writes a whole text to a file, which may take several calls. */

#include "base/bytes.h"
#include "base/compiler.h"

/* 0 or an errno. */
NODISCARD int write_all(int fd, struct span text);
