/* SPDX-License-Identifier: MIT */
#include "app/cli.h"
#include "app/exit_code.h"
#include "app/help.h"

int cmd_help(const struct cli_args *args)
{
    if (!args->operands[0]) {
        help_program(stdout);
        return EXIT_OK;
    }
    int verb = help_find_verb(args->operands[0], stderr);
    if (verb < 0)
        return EXIT_USAGE;
    help_verb(stdout, (enum verb_id)verb);
    return EXIT_OK;
}
