/* SPDX-License-Identifier: MIT */
#include "app/config_path.h"

#include "base/compiler.h"

#include <stdlib.h>
#include <unistd.h>

const char config_path_none[] = "there is neither ./poise.yaml nor /etc/poise/poise.yaml; "
                                "name a configuration with -c FILE";

const char *config_path_find(const char *given)
{
    static const char *const places[] = {"poise.yaml", "/etc/poise/poise.yaml"};
    if (given)
        return given;
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        if (access(places[i], F_OK) == 0)
            return places[i];
    }
    return NULL;
}

const char *config_process_env(const char *name)
{
    return getenv(name);
}
