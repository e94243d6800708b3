/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * From text to a checked snapshot.
 *
 * Every error of a file is found in one run. Each has file, line and column, the source line, a
 * caret, a sentence, and, for a misspelt word, the closest legal one. No input, however broken, may
 * crash the loader or make it allocate without bound; the limits are in base/limits.h.
 *
 * The shape of the language (names, types, bounds, units, defaults, help) is one table,
 * config/option.def. The reader, the reference (docs/configuration.md), the JSON Schema and
 * `poise check --effective` all come from it.
 *
 * Thread rule: any single thread; used by the main thread.
 */

#include "base/compiler.h"
#include "config/snapshot.h"

#include <stdio.h>

enum diagnostic_level { DIAGNOSTIC_ERROR, DIAGNOSTIC_WARNING };

struct diagnostic {
    enum diagnostic_level level;
    uint32_t line, column; /* from 1; 0 = about the whole file */
    uint32_t length;       /* columns to underline; at least 1 */
    const char *message;   /* a plain sentence, with what to do */
    const char *hint;      /* "did you mean 'pool'?", or NULL */
    const char *note;      /* the legal words, or an example; may have several lines; or NULL */
    struct {               /* a second place: the first of two duplicates, a definition */
        uint32_t line, column, length; /* line 0 = none */
        const char *label;
    } also;
};

/* Kept; diagnostics_print shows the first CONFIG_ERRORS_MAX. */
#define DIAGNOSTICS_MAX 1000

struct diagnostics {
    const char *source; /* name of the file */
    struct span
        text; /* its text, to quote from: the caller's bytes, needed until diagnostics_fini */
    struct diagnostic *items; /* in the order of the text; at most DIAGNOSTICS_MAX */
    size_t count;             /* of items */
    size_t errors, warnings;  /* found, also those beyond the maximum */
    void *memory;             /* private */
};

/* Reads a whole file. 0; or a negative reason with a sentence in ret_why, e.g. "poise.yaml: no such
 * file". */
NODISCARD int config_read_file(const char *path, char **ret_text, size_t *ret_len, char *ret_why,
                               size_t why_size);

/*
 * Checks `text` (named `source` in messages) and makes a snapshot with one reference. Returns 0, or
 * -1 when there were errors. Diagnostics (warnings too) are filled in either way; release them with
 * diagnostics_fini. `env` looks up ${NAME} (getenv in the program; a stub in tests).
 */
typedef const char *config_env_fn(const char *name);
NODISCARD int config_load(const char *source, struct span text, config_env_fn *env,
                          struct diagnostics *ret_diagnostics,
                          const struct snapshot **ret_snapshot);

/* What tells one text from another, as snapshots remember it. */
uint64_t config_text_hash(struct span text);

/* Prints them as compilers do, coloured when `colour`; one line of summary at the end. */
void diagnostics_print(const struct diagnostics *d, FILE *out, bool colour);
/* The same as a JSON array. */
void diagnostics_print_json(const struct diagnostics *d, FILE *out);
void diagnostics_fini(struct diagnostics *d);

/* The words of `poise run` without a file. */
struct config_words {
    const char *const *listen; /* addresses */
    size_t listen_count;
    const char *const *backends; /* "ADDR[,weight=N][,name=X][,backup]" */
    size_t backend_count;
    const char *mode;                 /* "http" or "tcp"; NULL = http */
    const char *balance;              /* NULL = round_robin */
    const char *admin;                /* NULL = none */
    const char *log_level, *log_file; /* NULL = default */
    const char *workers, *engine;     /* NULL = auto */
};

/* Writes the YAML file that says the same as the words (what --save saves): complete, commented and
 * loadable. Returns a malloc'd text, or NULL with a sentence in ret_why when a word is wrong. */
char *config_from_words(const struct config_words *words, char *ret_why, size_t why_size);

/* Why an address is none of a backend although its syntax is good; NULL = it is one. */
const char *config_backend_address(const struct address *a);

/* Prints the full configuration as YAML, each value with a comment saying where it came from. */
void config_print_effective(const struct snapshot *s, FILE *out);
void config_print_effective_json(const struct snapshot *s, FILE *out);

/* The reference in Markdown and the JSON Schema, from the option table. */
void config_print_reference(FILE *out);
void config_print_schema(FILE *out);

/* What the command line says on top of a file; NULL = nothing. */
struct config_overrides {
    const char *workers, *engine, *log_level, *log_file;
    const char *balance; /* of every pool */
    /* Nothing that reaches outside, or that only others speak: no log files, no admin server, no
     * TLS, no PROXY headers. */
    bool inward;
};

/* Puts them into *s, which must hold the only reference. False with a sentence in ret_why. */
NODISCARD bool config_override(const struct snapshot **s, const struct config_overrides *o,
                               char *ret_why, size_t why_size);
