/* SPDX-License-Identifier: MIT */
#pragma once

/* The two parts of the sandbox that the kernel keeps. Both need no_new_privs. */

#include "base/compiler.h"
#include "config/snapshot.h"

#include <stdbool.h>

/* Shuts the file system. The version of the kernel's interface, 0 where there is none, -errno. */
NODISCARD int sandbox_shut_files(const struct snapshot *s);

/* Allows only the system calls an engine makes. 0, or -errno; -ENOSYS where this program or the
 * kernel cannot. */
NODISCARD int sandbox_shut_calls(void);
