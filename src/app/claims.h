/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What a configuration lays claim to outside of the engine: the addresses it listens on, the log
 * files it writes, the certificates and keys it reads, the folders of ACME challenges. The
 * supervisor grants these and nothing else. It also holds the text itself, for an engine that has
 * to be started again.
 *
 * Counted by reference. Thread rule: the supervisor's one thread.
 */

#include "base/bytes.h"
#include "base/compiler.h"
#include "base/log.h"
#include "config/load.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct claims {
    char *text; /* of the configuration */
    size_t len;
    char **listen; /* addresses as texts, sorted */
    size_t listen_count;
    char *admin_address; /* as a text, or NULL */
    char *admin_socket;  /* "unix:/path", or NULL */
    char **files;        /* sorted */
    size_t file_count;
    char **folders; /* of ACME challenges, sorted */
    size_t folder_count;
    char **tls_files; /* that may be read, sorted, each once */
    size_t tls_file_count;
    char *log_file; /* NULL: standard error */
    enum log_level log_level;
    enum log_format log_format;
    uint32_t drain_ms;
    uint32_t refs;
};

/* Takes what it claims from `s`, and the text. NULL when memory is out. */
struct claims *claims_new(const struct snapshot *s, struct span text);

/* Reads the text first. NULL if it is not a good configuration. */
struct claims *claims_of_text(const char *source, struct span text,
                              const struct config_overrides *overrides);

/*
 * Whether an engine may put `after` in the place of `before`: both are good, differ in pools and
 * routes alone, and no certificate or key is to be read that was not before. The rest (the user,
 * the sandbox, log files, addresses, the token) is what keeps an engine within bounds, and would
 * hold for the next one.
 */
bool claims_may_replace(const char *source, struct span before, struct span after);

struct claims *claims_ref(struct claims *c);

/* Leaves NULL; accepts NULL. */
void claims_unref(struct claims **c);

/* Whether the address is one of a listener, or of the admin server. NULL claims nothing. */
bool claims_address(const struct claims *c, const char *address);
bool claims_admin_address(const struct claims *c, const char *address);
bool claims_file(const struct claims *c, const char *path);

/* Whether it is one of certificates, keys and the like (app/tls_file.h). */
bool claims_tls_file(const struct claims *c, const char *path);

/* Whether a listener serves ACME challenges from that folder. */
bool claims_folder(const struct claims *c, const char *path);
