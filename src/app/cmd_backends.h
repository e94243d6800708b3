/* SPDX-License-Identifier: MIT */
#pragma once

/* Between the list of backends (cmd_peek.c) and the changes of them (cmd_backends.c). */

#include "app/cli.h"

/* Shows the backends of a pool, or of all (NULL). An enum exit_code. */
int backends_show(const struct cli_args *args, const char *pool);
