/* SPDX-License-Identifier: MIT */
/*
 * What engines ask of the supervisor, and what it grants. The engine may be in an attacker's hands:
 * whatever it names is compared with what the configuration claims, and the configuration is read
 * here, from the place the operator named.
 */
#include "account/reason.h"
#include "app/challenge_file.h"
#include "app/door_priv.h"
#include "app/door_wire.h"
#include "app/replace_file.h"
#include "app/supervisor_priv.h"
#include "base/limits.h"
#include "base/logwriter.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A question and the place for its answer. */
struct talk {
    struct supervisor *s;
    struct engine_slot *engine;
    const struct channel_message *question;
    struct wire_head head;
    struct channel_message *answer;
};

static void answer(struct talk *t, int32_t status, uint32_t arg, const char *why)
{
    wire_begin(t->answer, t->head.type, status, arg, 0);
    wire_number(t->answer, t->head.number);
    if (why)
        (void)!wire_put(t->answer, why);
}

static void send_answer(struct talk *t)
{
    /* An engine that does not read what it asked for is not waited for. */
    (void)!channel_send(t->engine->questions, t->answer, 0);
}

static void on_hello(struct talk *t)
{
    const struct config_overrides *o = &t->s->origin.overrides;
    t->engine->handover_version = t->head.arg;
    wire_begin(t->answer, t->head.type, 0, t->s->workers, WIRE_QUESTION_LAST);
    wire_number(t->answer, t->head.number);
    bool fits = wire_put(t->answer, t->s->origin.path) && wire_put(t->answer, o->workers) &&
                wire_put(t->answer, o->engine) && wire_put(t->answer, o->log_level) &&
                wire_put(t->answer, o->log_file);
    if (!fits)
        answer(t, -1, 0, "the words of the command line are too long");
    send_answer(t);
}

/* A descriptor, which is closed here, or -errno. */
static void send_file(struct talk *t, int fd)
{
    answer(t, fd < 0 ? fd : 0, 0, NULL);
    if (fd >= 0)
        t->answer->fds[t->answer->fd_count++] = fd;
    send_answer(t);
    if (fd >= 0)
        (void)close(fd);
}

static void send_text(struct talk *t, struct span text)
{
    int file = wire_file("poise.yaml", text);
    answer(t, file < 0 ? -1 : 0, 0, file < 0 ? "out of memory for the configuration" : NULL);
    if (file >= 0)
        t->answer->fds[t->answer->fd_count++] = file;
    send_answer(t);
    if (file >= 0)
        (void)close(file);
}

static void on_config(struct talk *t)
{
    struct engine_slot *e = t->engine;
    const struct door_origin *origin = &t->s->origin;
    if (!e->runs) { /* an engine of before this program: it drains */
        answer(t, -1, 0, "a new engine has taken over");
        send_answer(t);
        return;
    }
    if (!e->configured || !origin->path) {
        e->configured = true;
        send_text(t, span_of(e->runs->text, e->runs->len));
        return;
    }
    char why[DOOR_WHY_MAX] = "";
    char *text;
    size_t len;
    claims_unref(&e->offered);
    if (config_read_file(origin->path, &text, &len, why, sizeof(why)) < 0) {
        answer(t, -1, 0, why);
        send_answer(t);
        return;
    }
    /* A bad file claims nothing; what is wrong with it the engine finds by itself. */
    e->offered = claims_of_text(origin->path, span_of(text, len), &origin->overrides);
    send_text(t, span_of(text, len));
    free(text);
}

static void on_accept(struct talk *t)
{
    struct supervisor *s = t->s;
    struct engine_slot *e = t->engine;
    if (e->offered) {
        claims_unref(&e->runs);
        e->runs = e->offered;
        e->offered = NULL;
    }
    if (e == s->current && s->claims != e->runs) {
        claims_unref(&s->claims);
        s->claims = claims_ref(e->runs);
        supervisor_open_log(s);
    }
    answer(t, 0, 0, NULL);
    send_answer(t);
}

static void send_sockets(struct talk *t, const struct holding *g)
{
    int fds[WORKERS_MAX];
    uint32_t count = listener_fds(g->listener, fds, WORKERS_MAX);
    for (uint32_t at = 0; at < count;) {
        uint32_t n = MIN(count - at, (uint32_t)CHANNEL_FDS_MAX);
        answer(t, 0, count, NULL);
        memcpy(t->answer->fds, fds + at, n * sizeof(int));
        t->answer->fd_count = n;
        send_answer(t);
        at += n;
    }
}

static void refuse(struct talk *t, const char *why)
{
    answer(t, -1, 0, why);
    send_answer(t);
}

/* The question as it may be granted: how many shards and what mode is ours to say. False if it is
 * no question at all. `kept` is where the address keeps its text. */
static bool read_bind(struct talk *t, char kept[ADDRESS_TEXT_MAX], const char **ret_owner,
                      const char **ret_text, struct listener_options *ret_options)
{
    size_t at = 0;
    const char *owner, *text, *complaint;
    struct listener_options o = {.shards = t->s->workers, .defer_accept = t->head.flag};
    if (!wire_text(t->question, &at, &owner) || !owner || strlen(owner) > NAME_MAX_LEN ||
        !wire_text(t->question, &at, &text) || !text ||
        address_parse(span_cstr(text), address_keep, kept, &o.address, &complaint) < 0)
        return false;
    if (strcmp(owner, DOOR_ADMIN) == 0) {
        o.shards = 1;
        o.mode = DOOR_ADMIN_MODE;
    }
    *ret_owner = owner;
    *ret_text = text;
    *ret_options = o;
    return t->head.arg == o.shards;
}

static bool is_claimed(const struct engine_slot *e, const char *owner, const char *text)
{
    if (strcmp(owner, DOOR_ADMIN) == 0)
        return claims_admin_address(e->runs, text) || claims_admin_address(e->offered, text);
    return claims_address(e->runs, text) || claims_address(e->offered, text);
}

static void on_bind(struct talk *t)
{
    struct engine_slot *e = t->engine;
    const char *owner, *text;
    char kept[ADDRESS_TEXT_MAX], why[LISTENER_WHY_MAX] = "";
    const struct holding *g;
    struct listener_options o;
    if (!read_bind(t, kept, &owner, &text, &o)) {
        refuse(t, "that is no question");
        return;
    }
    if (!is_claimed(e, owner, text)) {
        supervisor_log(t->s, LOG_LEVEL_WARN,
                       "refused an address that the configuration does not name engine=%d",
                       (int)e->pid);
        refuse(t, "the configuration names no such address");
        return;
    }
    if (o.mode)
        door_make_directory(&o.address);
    if (holdings_get(&t->s->holdings, owner, &o, engine_slot_index(t->s, e), &g, why) < 0)
        refuse(t, why);
    else
        send_sockets(t, g);
}

static void on_unbind(struct talk *t)
{
    size_t at = 0;
    const char *text;
    /* One that has been taken over from, or is on trial, speaks for itself alone. */
    if (t->engine == t->s->current && wire_text(t->question, &at, &text) && text)
        holdings_close(&t->s->holdings, text);
    answer(t, 0, 0, NULL);
    send_answer(t);
}

static void on_file(struct talk *t)
{
    size_t at = 0;
    const char *path;
    if (!wire_text(t->question, &at, &path) || !path ||
        (!claims_file(t->engine->runs, path) && !claims_file(t->engine->offered, path))) {
        supervisor_log(t->s, LOG_LEVEL_WARN,
                       "refused a file that the configuration does not name engine=%d",
                       (int)t->engine->pid);
        answer(t, -1, 0, NULL); /* -EPERM */
        send_answer(t);
        return;
    }
    send_file(t, logwriter_open_file(path));
}

/* The folder that is asked for, which the configuration names. 0 or -errno. */
static int read_folder(struct talk *t, size_t *at, const char **ret_folder)
{
    const struct engine_slot *e = t->engine;
    if (!wire_text(t->question, at, ret_folder) || !*ret_folder)
        return -EINVAL;
    if (claims_folder(e->runs, *ret_folder) || claims_folder(e->offered, *ret_folder))
        return 0;
    supervisor_log(t->s, LOG_LEVEL_WARN,
                   "refused a folder that the configuration does not name engine=%d", (int)e->pid);
    return -EPERM;
}

static void on_challenge(struct talk *t)
{
    size_t at = 0;
    const char *folder, *token;
    int r = read_folder(t, &at, &folder);
    if (r == 0 && (!wire_text(t->question, &at, &token) || !token))
        r = -EINVAL;
    send_file(t, r < 0 ? r : challenge_file_open(folder, token));
}

static void on_challenges(struct talk *t)
{
    size_t at = 0, len;
    const char *folder;
    char *names;
    int r = read_folder(t, &at, &folder);
    if (r == 0)
        r = challenge_file_list(folder, &names, &len);
    if (r == 0) {
        int file = wire_file("challenges", span_of(names, len));
        free(names);
        r = file < 0 ? -ENOMEM : file;
    }
    send_file(t, r);
}

/* A file may be larger than a message, and its bytes lie nowhere longer than they must. */
static void send_tls_file(struct talk *t, const char *path)
{
    char why[TLS_FILE_WHY_MAX];
    struct tls_file f;
    if (tls_file_read(path, &f, why) < 0) {
        refuse(t, why);
        return;
    }
    int file = wire_file("tls", span_of(f.bytes, f.n));
    wire_begin(t->answer, t->head.type, file < 0 ? -1 : 0, (uint32_t)f.stamp,
               (uint32_t)(f.stamp >> 32));
    wire_number(t->answer, t->head.number);
    tls_file_wipe(&f);
    if (file >= 0)
        t->answer->fds[t->answer->fd_count++] = file;
    send_answer(t);
    if (file >= 0)
        (void)close(file);
}

static bool may_read(struct talk *t, const char *path)
{
    if (claims_tls_file(t->engine->runs, path) || claims_tls_file(t->engine->offered, path))
        return true;
    if (!t->engine->runs) { /* an engine of before this program: it drains */
        refuse(t, "a new engine has taken over");
        return false;
    }
    supervisor_log(t->s, LOG_LEVEL_WARN,
                   "refused to read a file that the configuration does not name engine=%d",
                   (int)t->engine->pid);
    refuse(t, "the configuration names no such file");
    return false;
}

static void on_tls_file(struct talk *t)
{
    size_t at = 0;
    const char *path;
    if (!wire_text(t->question, &at, &path) || !path)
        refuse(t, "that is no question");
    else if (may_read(t, path))
        send_tls_file(t, path);
}

static void on_tls_look(struct talk *t)
{
    const struct claims *c = t->engine->runs;
    size_t at = 0;
    const char *path;
    uint64_t stamp = 0;
    if (!wire_text(t->question, &at, &path)) {
        refuse(t, "that is no question");
        return;
    }
    if (path && !may_read(t, path))
        return;
    for (size_t i = 0; !path && c && i < c->tls_file_count; i++)
        stamp = tls_file_stamp_add(stamp, tls_file_stamp(c->tls_files[i]));
    if (path)
        stamp = tls_file_stamp(path);
    wire_begin(t->answer, t->head.type, 0, (uint32_t)stamp, (uint32_t)(stamp >> 32));
    wire_number(t->answer, t->head.number);
    send_answer(t);
}

/* Only what is a configuration, and gives no engine more than the one before, may take its place.
 */
static int replace_text(const struct door_origin *origin, struct span text, char *why,
                        size_t why_size)
{
    char *before;
    size_t before_len;
    struct claims *c = claims_of_text(origin->path, text, &origin->overrides);
    bool good = c != NULL;
    claims_unref(&c);
    if (!good) {
        (void)snprintf(why, why_size, "it would not be a good configuration");
        return -1;
    }
    if (config_read_file(origin->path, &before, &before_len, why, why_size) < 0)
        return -1;
    bool may = claims_may_replace(origin->path, span_of(before, before_len), text);
    free(before);
    if (!may) {
        (void)snprintf(why, why_size, "it would change more than pools and routes");
        return -1;
    }
    return replace_file(origin->path, text, why, why_size) < 0 ? -1 : 0;
}

static int save(struct talk *t, char *why, size_t why_size)
{
    const struct door_origin *origin = &t->s->origin;
    size_t len = 0;
    if (!origin->path) {
        (void)snprintf(why, why_size,
                       "there is no configuration file: it came from the command line");
        return -1;
    }
    char *text = t->question->fd_count == 1 ? wire_file_read(t->question->fds[0], &len) : NULL;
    if (!text) {
        (void)snprintf(why, why_size, "that is no text");
        return -1;
    }
    int r = replace_text(origin, span_of(text, len), why, why_size);
    free(text);
    return r;
}

static void on_save(struct talk *t)
{
    char why[DOOR_WHY_MAX] = "";
    int r = t->engine == t->s->current ? save(t, why, sizeof(why)) : -1;
    answer(t, r, 0, why);
    send_answer(t);
}

static void on_upgrade(struct talk *t)
{
    char why[DOOR_WHY_MAX] = "only the engine that serves may ask for that";
    int r = t->engine == t->s->current ? upgrade_begin(t->s, why, sizeof(why)) : -1;
    answer(t, r < 0 ? -1 : 0, 0, r < 0 ? why : NULL);
    send_answer(t);
}

static void (*const questions[])(struct talk *t) = {
    [WIRE_HELLO] = on_hello,         [WIRE_CONFIG] = on_config,
    [WIRE_ACCEPT] = on_accept,       [WIRE_BIND] = on_bind,
    [WIRE_UNBIND] = on_unbind,       [WIRE_FILE] = on_file,
    [WIRE_SAVE] = on_save,           [WIRE_UPGRADE] = on_upgrade,
    [WIRE_TLS_FILE] = on_tls_file,   [WIRE_TLS_LOOK] = on_tls_look,
    [WIRE_CHALLENGE] = on_challenge, [WIRE_CHALLENGES] = on_challenges,
};

bool doorkeeper_answer(struct supervisor *s, struct engine_slot *e)
{
    struct channel_message question, reply;
    enum channel_result r = channel_receive(e->questions, &question, 0);
    if (r == CHANNEL_NOTHING)
        return true;
    if (r != CHANNEL_OK)
        return false;
    struct talk t = {.s = s, .engine = e, .question = &question, .answer = &reply};
    bool known = wire_head(&question, &t.head) && t.head.type < ARRAY_LEN(questions) &&
                 questions[t.head.type];
    if (known)
        questions[t.head.type](&t);
    channel_close_fds(&question, 0);
    if (!known) {
        supervisor_log(s, LOG_LEVEL_ERROR, "engine talks nonsense; ending it engine=%d",
                       (int)e->pid);
        (void)kill(e->pid, SIGKILL);
    }
    return known;
}
