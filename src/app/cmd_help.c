/* SPDX-License-Identifier: MIT */
#include "app/cli.h"
#include "app/exit_code.h"
#include "app/help.h"
#include "app/manual.h"

int cmd_help(const struct cli_args *args)
{
    const char *shell = cli_text(args, OPT_help_completion);
    if (cli_has(args, OPT_help_man)) {
        manual_page(stdout);
        return EXIT_OK;
    }
    if (shell) {
        if (manual_completion(stdout, shell))
            return EXIT_OK;
        fprintf(stderr, "poise: there are completions for bash, zsh and fish, not for '%s'\n",
                shell);
        return EXIT_USAGE;
    }
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
