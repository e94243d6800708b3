/* SPDX-License-Identifier: MIT */
#pragma once

/* Which configuration file is meant. Any thread. */

/* `given` if not NULL; else the first of ./poise.yaml and /etc/poise/poise.yaml that exists; else
 * NULL. */
const char *config_path_find(const char *given);

/* The sentence for NULL. */
extern const char config_path_none[];
