/* SPDX-License-Identifier: MIT */
#include "app/claims.h"

#include "app/config_path.h"
#include "app/tls_file.h"
#include "config/difference.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int by_text(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    return strcmp(*x, *y);
}

static bool has(char *const *texts, size_t count, const char *text)
{
    return count > 0 && bsearch(&text, texts, count, sizeof(*texts), by_text) != NULL;
}

/* A NULL text has not been copied for want of memory. */
static bool add(char **texts, size_t *count, char *text)
{
    if (text)
        texts[(*count)++] = text;
    return text != NULL;
}

static char *address_text(const struct address *a)
{
    char text[ADDRESS_TEXT_MAX];
    (void)address_format(a, text);
    return strdup(text);
}

static bool take_addresses(struct claims *c, const struct snapshot *s)
{
    size_t most = 1;
    for (size_t i = 0; i < s->listener_count; i++)
        most += s->listeners[i].address_count;
    c->listen = calloc(most, sizeof(*c->listen));
    bool ok = c->listen != NULL;
    for (size_t i = 0; ok && i < s->listener_count; i++) {
        for (size_t k = 0; ok && k < s->listeners[i].address_count; k++)
            ok = add(c->listen, &c->listen_count, address_text(&s->listeners[i].addresses[k]));
    }
    if (ok)
        qsort(c->listen, c->listen_count, sizeof(*c->listen), by_text);
    return ok;
}

static bool take_admin(struct claims *c, const struct snapshot *s)
{
    const struct address socket = {.kind = ADDRESS_UNIX, .text = s->admin.socket};
    bool has_address = s->admin.address.kind != ADDRESS_NONE, has_socket = s->admin.socket;
    if (has_address)
        c->admin_address = address_text(&s->admin.address);
    if (has_socket)
        c->admin_socket = address_text(&socket);
    return (!has_address || c->admin_address) && (!has_socket || c->admin_socket);
}

static bool take_files(struct claims *c, const struct snapshot *s)
{
    const char *access = s->access_log.format == ACCESS_NONE ? NULL : s->access_log.file;
    c->files = calloc(2, sizeof(*c->files));
    bool ok = c->files != NULL;
    if (ok && s->log.file) {
        c->log_file = strdup(s->log.file);
        ok = c->log_file && add(c->files, &c->file_count, strdup(s->log.file));
    }
    if (ok && access)
        ok = add(c->files, &c->file_count, strdup(access));
    if (ok)
        qsort(c->files, c->file_count, sizeof(*c->files), by_text);
    return ok;
}

static bool take_folders(struct claims *c, const struct snapshot *s)
{
    c->folders = calloc(s->listener_count + 1, sizeof(*c->folders));
    bool ok = c->folders != NULL;
    for (size_t i = 0; ok && i < s->listener_count; i++) {
        const char *folder = s->listeners[i].acme_challenge;
        ok = !folder || add(c->folders, &c->folder_count, strdup(folder));
    }
    if (ok)
        qsort(c->folders, c->folder_count, sizeof(*c->folders), by_text);
    return ok;
}

struct tls_list {
    char **paths;
    size_t count, room;
};

static bool add_tls_file(void *user, const char *path)
{
    struct tls_list *l = user;
    if (l->count == l->room) {
        size_t room = l->room ? 2 * l->room : 16;
        char **paths = realloc(l->paths, room * sizeof(*paths));
        if (!paths)
            return false;
        l->paths = paths;
        l->room = room;
    }
    return add(l->paths, &l->count, strdup(path));
}

/* Sorted, and each once: a wildcard certificate may stand in many listeners. */
static bool take_tls_files(struct claims *c, const struct snapshot *s)
{
    struct tls_list l = {};
    bool ok = tls_files_each(s, add_tls_file, &l);
    if (l.count > 0)
        qsort(l.paths, l.count, sizeof(*l.paths), by_text);
    for (size_t i = 0; i < l.count; i++) {
        if (c->tls_file_count > 0 && strcmp(l.paths[c->tls_file_count - 1], l.paths[i]) == 0)
            free(l.paths[i]);
        else
            l.paths[c->tls_file_count++] = l.paths[i];
    }
    c->tls_files = l.paths;
    return ok;
}

struct claims *claims_new(const struct snapshot *s, struct span text)
{
    struct claims *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    c->refs = 1;
    c->len = text.n;
    c->text = malloc(text.n + 1);
    c->log_level = s->log.level;
    c->log_format = s->log.format;
    c->drain_ms = s->drain_ms;
    if (!c->text || !take_addresses(c, s) || !take_admin(c, s) || !take_files(c, s) ||
        !take_folders(c, s) || !take_tls_files(c, s)) {
        claims_unref(&c);
        return NULL;
    }
    memcpy(c->text, text.p, text.n);
    c->text[text.n] = '\0';
    return c;
}

struct claims *claims_of_text(const char *source, struct span text,
                              const struct config_overrides *overrides)
{
    struct diagnostics found;
    const struct snapshot *s = NULL;
    struct claims *c = NULL;
    char why[512];
    int r = config_load(source, text, config_process_env, &found, &s);
    diagnostics_fini(&found);
    if (r == 0 && config_override(&s, overrides, why, sizeof(why)))
        c = claims_new(s, text);
    snapshot_unref(&s);
    (void)malloc_trim(0); /* a large configuration is not needed again soon */
    return c;
}

static void no_matter(void *user, const char *path, const char *before, const char *after)
{
    (void)user;
    (void)path;
    (void)before;
    (void)after;
}

static bool same_but_for_pools(const struct snapshot *a, const struct snapshot *b)
{
    static const enum scope scopes[] = {SCOPE_ROOT, SCOPE_ADMIN, SCOPE_LOG, SCOPE_ACCESS_LOG,
                                        SCOPE_DRAIN};
    size_t differ = a->listener_count != b->listener_count || a->admin.enabled != b->admin.enabled;
    for (size_t i = 0; i < ARRAY_LEN(scopes); i++)
        differ += config_compare(scopes[i], a, a, b, b, no_matter, NULL);
    for (size_t i = 0; !differ && i < a->listener_count; i++)
        differ = config_compare(SCOPE_LISTENER, a, &a->listeners[i], b, &b->listeners[i], no_matter,
                                NULL);
    return !differ;
}

/* Whether a path is among those of the first. */
static bool is_known(void *user, const char *path)
{
    return claims_tls_file(user, path);
}

/* Who could name any file as a key would be given it. */
static bool no_new_tls_files(const struct snapshot *before, const struct snapshot *after)
{
    struct claims known = {};
    bool ok = take_tls_files(&known, before) && tls_files_each(after, is_known, &known);
    for (size_t i = 0; i < known.tls_file_count; i++)
        free(known.tls_files[i]);
    free(known.tls_files);
    return ok;
}

static const struct snapshot *snapshot_of_text(const char *source, struct span text)
{
    struct diagnostics found;
    const struct snapshot *s = NULL;
    if (config_load(source, text, config_process_env, &found, &s) < 0)
        s = NULL;
    diagnostics_fini(&found);
    return s;
}

bool claims_may_replace(const char *source, struct span before, struct span after)
{
    const struct snapshot *a = snapshot_of_text(source, before);
    const struct snapshot *b = a ? snapshot_of_text(source, after) : NULL;
    bool may = b && same_but_for_pools(a, b) && no_new_tls_files(a, b);
    snapshot_unref(&a);
    snapshot_unref(&b);
    (void)malloc_trim(0);
    return may;
}

struct claims *claims_ref(struct claims *c)
{
    c->refs++;
    return c;
}

void claims_unref(struct claims **claims)
{
    struct claims *c = *claims;
    *claims = NULL;
    if (!c || --c->refs > 0)
        return;
    for (size_t i = 0; i < c->listen_count; i++)
        free(c->listen[i]);
    for (size_t i = 0; i < c->file_count; i++)
        free(c->files[i]);
    for (size_t i = 0; i < c->folder_count; i++)
        free(c->folders[i]);
    for (size_t i = 0; i < c->tls_file_count; i++)
        free(c->tls_files[i]);
    free(c->tls_files);
    free(c->listen);
    free(c->files);
    free(c->folders);
    free(c->admin_address);
    free(c->admin_socket);
    free(c->log_file);
    free(c->text);
    free(c);
}

bool claims_address(const struct claims *c, const char *address)
{
    return c && has(c->listen, c->listen_count, address);
}

bool claims_admin_address(const struct claims *c, const char *address)
{
    return c && ((c->admin_address && strcmp(c->admin_address, address) == 0) ||
                 (c->admin_socket && strcmp(c->admin_socket, address) == 0));
}

bool claims_file(const struct claims *c, const char *path)
{
    return c && has(c->files, c->file_count, path);
}

bool claims_folder(const struct claims *c, const char *path)
{
    return c && has(c->folders, c->folder_count, path);
}

bool claims_tls_file(const struct claims *c, const char *path)
{
    return c && has(c->tls_files, c->tls_file_count, path);
}
