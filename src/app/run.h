/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * `poise run`: the balancer itself, from its configuration or from words on the command line.
 * The main thread calls cmd_run once; it returns when the last exchange is over.
 *
 * As for every verb, `int cmd_run(const struct cli_args *args)` is declared by app/verb.h. Its
 * options are OPT_run_... of app/verb.def; it returns an enum exit_code.
 */

#include "app/cli.h"
