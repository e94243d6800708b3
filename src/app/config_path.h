/* SPDX-License-Identifier: MIT */
#pragma once

/* Which configuration file is meant, and where ${NAME} in it comes from. Any thread, as long as
 * nobody changes the environment. */

/* `given` if not NULL; else the first of ./poise.yaml and /etc/poise/poise.yaml that exists; else
 * NULL. */
const char *config_path_find(const char *given);

/* The sentence for NULL. */
extern const char config_path_none[];

/* A config_env_fn: the environment of this process. */
const char *config_process_env(const char *name);
