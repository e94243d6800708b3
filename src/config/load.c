/* SPDX-License-Identifier: MIT */
#include "config/load.h"

#include "account/reason.h"
#include "base/limits.h"
#include "config/read.h"
#include "config/tree.h"
#include "config/validate.h"

#include <errno.h>
#include <stdlib.h>
#include <xxhash.h>

#define SCRATCH_BYTES_MAX ((size_t)4 << 30) /* CONFIG_NODES_MAX nodes and their texts need less */

static const char example[] = "a configuration is at least:\n"
                              "  listeners:\n"
                              "    - {name: web, listen: \":8080\", pool: app}\n"
                              "  pools:\n"
                              "    - {name: app, backends: [127.0.0.1:8881, 127.0.0.1:8882]}";

static const char *file_error(int error)
{
    switch (error) {
    case ENOENT: return "no such file";
    case EACCES: return "no permission to read it";
    case EISDIR: return "it is a directory";
    default: return strerror(error);
    }
}

static int read_all(FILE *file, char **ret_text, size_t *ret_len)
{
    size_t capacity = 16384;
    size_t used = 0;
    char *text = config_must(malloc(capacity));
    for (;;) {
        used += fread(text + used, 1, capacity - used, file);
        if (used < capacity || used > CONFIG_FILE_BYTES_MAX)
            break;
        capacity *= 2;
        text = config_must(realloc(text, capacity));
    }
    int error = ferror(file) ? errno : used > CONFIG_FILE_BYTES_MAX ? EFBIG : 0;
    if (error) {
        free(text);
        return error;
    }
    text[used] = 0; /* used < capacity here */
    *ret_text = text;
    *ret_len = used;
    return 0;
}

int config_read_file(const char *path, char **ret_text, size_t *ret_len, char *ret_why,
                     size_t why_size)
{
    FILE *file = fopen(path, "re");
    int error = file ? read_all(file, ret_text, ret_len) : errno;
    if (file)
        (void)fclose(file);
    if (error == 0)
        return 0;
    if (error == EFBIG)
        (void)snprintf(ret_why, why_size, "%s: larger than %d MiB", path,
                       CONFIG_FILE_BYTES_MAX / (1024 * 1024));
    else
        (void)snprintf(ret_why, why_size, "%s: %s", path, file_error(error));
    return -(int)REASON_system_error;
}

/* A byte order mark is no part of the text, and no column of it. */
static struct span skip_mark(struct span text)
{
    struct span mark = span_str("\xef\xbb\xbf");
    return span_starts(text, mark) ? span_from(text, mark.n) : text;
}

static void load_text(struct load *l, struct span text)
{
    const struct node *root = tree_read(text, &l->scratch, l->d, &l->whole);
    bool empty = root == NULL || (root->kind == NODE_SCALAR && root->plain && root->text.n == 0);
    if (empty) {
        if (l->d->errors == 0)
            diagnose(l->d, &(struct finding){.note = example}, "there is no configuration in it");
        return;
    }
    if (root->kind != NODE_MAP && l->whole)
        diagnose(l->d, &(struct finding){.at = root->at, .note = example},
                 "a configuration is a mapping of keys, not %s", node_kind_name(root));
    if (root->kind != NODE_MAP)
        return;
    read_config(l, root);
    validate_config(l);
}

uint64_t config_text_hash(struct span text)
{
    return XXH3_64bits(text.p, text.n);
}

int config_load(const char *source, struct span text, config_env_fn *env,
                struct diagnostics *ret_diagnostics, const struct snapshot **ret_snapshot)
{
    struct load l = {.config = config_new(source), .d = ret_diagnostics, .env = env};
    const struct snapshot *s = &l.config->snapshot;
    l.config->snapshot.text_hash = config_text_hash(text);
    l.last = &l.first;
    l.last_reference = &l.references;
    text = skip_mark(text);
    diagnostics_init(ret_diagnostics, source, text);
    arena_init(&l.scratch, 65536, SCRATCH_BYTES_MAX);
    load_text(&l, text);
    arena_fini(&l.scratch);
    diagnostics_sort(ret_diagnostics);
    if (ret_diagnostics->errors) {
        snapshot_unref(&s);
        return -1;
    }
    *ret_snapshot = s;
    return 0;
}
