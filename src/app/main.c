/* SPDX-License-Identifier: MIT */
#include "app/cli.h"
#include "app/exit_code.h"
#include "base/check.h"

#include <signal.h>
#include <sys/prctl.h>

int main(int argc, char **argv)
{
    check_init();
    /* The name that ps and top show: children of the demo were started through /proc/self/exe. */
    (void)prctl(PR_SET_NAME, "poise");
    /* A peer that is gone is an error of a write, not the end of the program. */
    (void)signal(SIGPIPE, SIG_IGN);
    int code = cli_main(argc, argv);
    if (fflush(stdout) != 0 && code == EXIT_OK)
        code = EXIT_RUNTIME;
    return code;
}
