/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * How the program ends. A service manager must not start it again on USAGE, CONFIG and OPEN: the
 * same thing would happen.
 */

enum exit_code {
    EXIT_OK = 0,
    EXIT_RUNTIME = 1, /* something failed while running */
    EXIT_USAGE = 2,   /* the command line is wrong */
    EXIT_CONFIG = 3,  /* the configuration is invalid */
    EXIT_OPEN = 4,    /* cannot bind or open what the command line or the configuration names */
};
