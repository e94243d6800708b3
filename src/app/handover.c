/* SPDX-License-Identifier: MIT */
/*
 * One walk over the supervisor both writes and reads it, so that the two cannot differ. After a
 * failed read nothing is right: the caller ends.
 */
#include "app/handover.h"

#include "app/door_wire.h"
#include "app/supervisor_priv.h"
#include "base/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct walk {
    FILE *file;
    bool reading;
    bool keep; /* writing: descriptors survive the exec, or do not after all */
    bool ok;
};

static void walk_bytes(struct walk *w, void *p, size_t n)
{
    if (!w->ok)
        return;
    if (w->reading)
        w->ok = fread(p, 1, n, w->file) == n;
    else
        w->ok = fwrite(p, 1, n, w->file) == n; /* cppcheck-suppress IOWithoutPositioning */
}

static void walk_number(struct walk *w, uint64_t *n)
{
    walk_bytes(w, n, sizeof(*n));
}

static void walk_u32(struct walk *w, uint32_t *n)
{
    uint64_t wide = *n;
    walk_number(w, &wide);
    *n = (uint32_t)wide;
}

static void walk_bool(struct walk *w, bool *b)
{
    uint64_t wide = *b;
    walk_number(w, &wide);
    *b = wide != 0;
}

static void walk_fd(struct walk *w, int *fd)
{
    uint64_t wide = (uint64_t)(int64_t)*fd;
    walk_number(w, &wide);
    *fd = (int)(int64_t)wide;
    if (*fd >= 0 && w->ok)
        (void)fcntl(*fd, F_SETFD, w->reading || !w->keep ? FD_CLOEXEC : 0);
}

/* A text that may be absent; malloc'd when read. */
static void walk_text(struct walk *w, char **text)
{
    uint64_t n = *text && !w->reading ? strlen(*text) + 1 : 0;
    walk_number(w, &n);
    if (w->reading) {
        w->ok = w->ok && n <= CONFIG_FILE_BYTES_MAX + 1;
        *text = w->ok && n > 0 ? calloc(1, (size_t)n) : NULL;
        w->ok = w->ok && (n == 0 || *text);
    }
    if (w->ok && n > 0) {
        walk_bytes(w, *text, (size_t)n);
        (*text)[n - 1] = '\0';
    }
}

static void walk_engine(struct walk *w, struct engine_slot *e)
{
    uint64_t state = e->state, pid = (uint64_t)e->pid;
    walk_number(w, &state);
    e->state = (enum engine_state)state;
    if (!w->ok || state == ENGINE_FREE)
        return;
    walk_number(w, &pid);
    e->pid = (pid_t)pid;
    walk_fd(w, &e->questions);
    walk_fd(w, &e->news);
    walk_u32(w, &e->handover_version);
    walk_bool(w, &e->configured);
    walk_bool(w, &e->stopping);
    walk_number(w, &e->started_ms);
}

static void walk_holding(struct walk *w, struct holdings *h, struct holding *g)
{
    int fds[WORKERS_MAX];
    uint32_t count = g->listener ? listener_fds(g->listener, fds, WORKERS_MAX) : 0;
    walk_text(w, &g->owner);
    walk_text(w, &g->asked);
    walk_u32(w, &g->given);
    walk_u32(w, &g->shards);
    walk_bool(w, &g->defer_accept);
    walk_bool(w, &g->own_file);
    walk_u32(w, &count);
    w->ok = w->ok && count <= WORKERS_MAX && g->owner && g->asked;
    for (uint32_t i = 0; w->ok && i < count; i++)
        walk_fd(w, &fds[i]);
    if (w->reading && w->ok)
        w->ok = holdings_adopt(h, g, fds, count) == 0;
}

static void read_holdings(struct walk *w, struct holdings *h, uint64_t count)
{
    for (uint64_t i = 0; w->ok && i < count; i++) {
        struct holding g = {};
        walk_holding(w, h, &g);
        free(g.owner);
        free(g.asked);
    }
}

static void walk_holdings(struct walk *w, struct holdings *h)
{
    uint64_t count = w->reading ? 0 : list_len(&h->all);
    struct holding *g;
    walk_number(w, &count);
    if (w->reading) {
        read_holdings(w, h, count);
        return;
    }
    list_each(g, &h->all, link)
        walk_holding(w, h, g);
}

static void walk_origin(struct walk *w, struct handover_texts *t)
{
    walk_text(w, &t->path);
    walk_text(w, &t->text);
    for (size_t i = 0; i < ARRAY_LEN(t->overrides); i++)
        walk_text(w, &t->overrides[i]);
}

/* `config` is the text that the current engine runs. */
static void walk_all(struct walk *w, struct supervisor *s, struct handover_texts *t, char **config)
{
    uint64_t version = HANDOVER_VERSION;
    uint32_t current = s->current ? engine_slot_index(s, s->current) : ENGINES_MAX;
    walk_number(w, &version);
    w->ok = w->ok && version == HANDOVER_VERSION;
    walk_origin(w, t);
    walk_text(w, config);
    walk_u32(w, &s->workers);
    walk_fd(w, &s->program);
    walk_text(w, &s->program_path);
    for (size_t i = 0; i < ENGINES_MAX; i++)
        walk_engine(w, &s->engines[i]);
    walk_u32(w, &current);
    walk_holdings(w, &s->holdings);
    s->current = w->ok && current < ENGINES_MAX ? &s->engines[current] : NULL;
}

/* ---- giving ---- */

static bool write_state(struct supervisor *s, int fd, bool keep)
{
    union {
        const char *in;
        char *out;
    } words[] = {{s->origin.path},
                 {s->origin.overrides.workers},
                 {s->origin.overrides.engine},
                 {s->origin.overrides.log_level},
                 {s->origin.overrides.log_file}};
    struct handover_texts t = {
        .path = words[0].out, /* a writing walk changes nothing */
        .text = s->origin.text,
        .overrides = {words[1].out, words[2].out, words[3].out, words[4].out},
    };
    int copy = dup(fd);
    struct walk w = {.file = copy >= 0 ? fdopen(copy, "w") : NULL, .keep = keep};
    w.ok = w.file != NULL;
    walk_all(&w, s, &t, &s->claims->text);
    if (w.file && fclose(w.file) != 0)
        w.ok = false;
    return w.ok;
}

void handover_exec(struct supervisor *s, int program)
{
    int fd = memfd_create("handover", 0);
    char word[16];
    union {
        const char *in[4];
        char *out[4];
    } argv = {.in = {"poise", "adopt", word, NULL}};
    (void)snprintf(word, sizeof(word), "%d", fd);
    (void)fflush(NULL);
    if (fd >= 0 && write_state(s, fd, true) && lseek(fd, 0, SEEK_SET) == 0)
        (void)execveat(program, "", argv.out, environ, AT_EMPTY_PATH);
    supervisor_log(s, LOG_LEVEL_WARN, "the supervisor stays the program it was: %s",
                   strerror(errno));
    /* The same walk takes back what was made to survive. */
    if (fd >= 0) {
        (void)!write_state(s, fd, false);
        (void)close(fd);
    }
}

/* ---- taking ---- */

static bool take(struct supervisor *s, FILE *file, struct handover_texts *t)
{
    struct walk w = {.file = file, .reading = true, .ok = true};
    char *config = NULL;
    walk_all(&w, s, t, &config);
    if (!w.ok || !config || !s->current) {
        free(config);
        return false;
    }
    s->origin = (struct door_origin){
        .path = t->path,
        .text = t->text,
        .overrides = {.workers = t->overrides[0],
                      .engine = t->overrides[1],
                      .log_level = t->overrides[2],
                      .log_file = t->overrides[3]},
    };
    s->claims =
        claims_of_text(t->path ? t->path : "command line", span_cstr(config), &s->origin.overrides);
    free(config);
    if (!s->claims)
        return false;
    s->current->runs = claims_ref(s->claims);
    s->served = s->announced = true;
    return true;
}

bool handover_take(struct supervisor *s, const char *descriptor, struct handover_texts *ret_texts)
{
    uint64_t fd;
    *ret_texts = (struct handover_texts){};
    if (!span_to_u64(span_cstr(descriptor), &fd) || fd > 1000000)
        return false;
    FILE *file = fdopen((int)fd, "r");
    if (!file)
        return false;
    bool ok = take(s, file, ret_texts);
    (void)fclose(file);
    return ok;
}

void handover_texts_free(struct handover_texts *t)
{
    free(t->path);
    free(t->text);
    for (size_t i = 0; i < ARRAY_LEN(t->overrides); i++)
        free(t->overrides[i]);
    *t = (struct handover_texts){};
}
