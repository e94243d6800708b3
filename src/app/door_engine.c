/* SPDX-License-Identifier: MIT */
/*
 * One question at a time: the lock covers a question and all parts of its answer. An answer that
 * did not come in time is passed over when it comes: it bears the number of its question.
 */
#include "app/door_engine.h"

#include "account/reason.h"
#include "app/door_priv.h"
#include "app/door_wire.h"
#include "app/handover.h"
#include "base/check.h"
#include "base/limits.h"
#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct remote {
    struct door door;
    pthread_mutex_t lock;
    int questions, news;
    uint32_t number;                /* of the last question */
    struct channel_message message; /* under the lock */
    char *texts[5];                 /* path and overrides */
    uint32_t known; /* the last question that may be asked; 0: of before CHALLENGES */
    /* the loop's thread */
    struct channel_watch *watch;
    door_event_fn *fn;
    void *user;
};

static struct remote *remote_of(struct door *d)
{
    return container_of(d, struct remote, door);
}

/* The supervisor checks a configuration that it reads anew: a large one takes a while. */
#define CONFIG_ANSWER_MS 10000

/* The next part of the answer to the last question into r->message. False when there is none. */
static bool receive_answer(struct remote *r, unsigned wait_ms, struct wire_head *ret_head)
{
    while (channel_receive(r->questions, &r->message, wait_ms) == CHANNEL_OK) {
        if (wire_head(&r->message, ret_head) && ret_head->number == r->number)
            return true;
        channel_close_fds(&r->message, 0);
    }
    return false;
}

/* Sends r->message and receives the answer into it. False when there is none. */
static bool ask(struct remote *r, unsigned wait_ms, struct wire_head *ret_head)
{
    wire_number(&r->message, ++r->number);
    return channel_send(r->questions, &r->message, wait_ms) == CHANNEL_OK &&
           receive_answer(r, wait_ms, ret_head);
}

static int no_answer(char *ret_why, size_t why_size)
{
    (void)snprintf(ret_why, why_size, "the supervisor does not answer");
    return -(int)REASON_system_error;
}

/* The sentence of an answer. */
static int refused(const struct remote *r, char *ret_why, size_t why_size)
{
    size_t at = 0;
    const char *text;
    bool said = wire_text(&r->message, &at, &text) && text;
    (void)snprintf(ret_why, why_size, "%s", said ? text : "the supervisor refused");
    return -(int)REASON_system_error;
}

static void remote_free(struct door *d)
{
    struct remote *r = remote_of(d);
    channel_watch_close(&r->watch);
    (void)close(r->questions);
    (void)close(r->news);
    for (size_t i = 0; i < ARRAY_LEN(r->texts); i++)
        free(r->texts[i]);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

static int take_text(struct remote *r, const struct wire_head *head, char **ret_text,
                     size_t *ret_len, char *ret_why, size_t why_size)
{
    if (head->status < 0 || r->message.fd_count != 1) {
        channel_close_fds(&r->message, 0);
        return refused(r, ret_why, why_size);
    }
    *ret_text = wire_file_read(r->message.fds[0], ret_len);
    channel_close_fds(&r->message, 0);
    if (*ret_text)
        return 0;
    (void)snprintf(ret_why, why_size, "out of memory for the configuration");
    return -(int)REASON_overload;
}

static int remote_config(struct door *d, char **ret_text, size_t *ret_len, char *ret_why,
                         size_t why_size)
{
    struct remote *r = remote_of(d);
    struct wire_head head;
    pthread_mutex_lock(&r->lock);
    wire_begin(&r->message, WIRE_CONFIG, 0, 0, 0);
    int result = ask(r, CONFIG_ANSWER_MS, &head)
                     ? take_text(r, &head, ret_text, ret_len, ret_why, why_size)
                     : no_answer(ret_why, why_size);
    pthread_mutex_unlock(&r->lock);
    return result;
}

/* A question whose answer is only whether it went well, with a sentence. */
static int ask_plain(struct remote *r, char *ret_why, size_t why_size)
{
    struct wire_head head;
    if (!ask(r, DOOR_ANSWER_MS, &head))
        return no_answer(ret_why, why_size);
    channel_close_fds(&r->message, 0);
    return head.status < 0 ? refused(r, ret_why, why_size) : 0;
}

static void remote_accept(struct door *d)
{
    struct remote *r = remote_of(d);
    char why[DOOR_WHY_MAX];
    pthread_mutex_lock(&r->lock);
    wire_begin(&r->message, WIRE_ACCEPT, 0, 0, 0);
    if (ask_plain(r, why, sizeof(why)) < 0)
        log_warn("engine", "the supervisor keeps the configuration before: %s", why);
    pthread_mutex_unlock(&r->lock);
}

/* All parts of the answer to WIRE_BIND. False after a part that is not what it should be. */
static bool receive_fds(struct remote *r, uint32_t total, int *fds)
{
    uint32_t count = 0;
    for (;;) {
        struct wire_head head;
        uint32_t n = r->message.fd_count;
        bool fits = n > 0 && n <= total - count;
        if (fits)
            memcpy(fds + count, r->message.fds, n * sizeof(int));
        else
            channel_close_fds(&r->message, 0);
        count += fits ? n : 0;
        if (fits && count == total)
            return true;
        if (!fits || !receive_answer(r, DOOR_ANSWER_MS, &head))
            break;
    }
    for (uint32_t i = 0; i < count; i++)
        (void)close(fds[i]);
    return false;
}

static int bind_locked(struct remote *r, const char *owner, const struct listener_options *options,
                       struct listener **ret_listener, char ret_why[LISTENER_WHY_MAX])
{
    char text[ADDRESS_TEXT_MAX];
    int fds[WORKERS_MAX];
    struct wire_head head;
    (void)address_format(&options->address, text);
    wire_begin(&r->message, WIRE_BIND, 0, options->shards, options->defer_accept);
    if (!wire_put(&r->message, owner) || !wire_put(&r->message, text))
        return -(int)REASON_system_error;
    if (!ask(r, DOOR_ANSWER_MS, &head))
        return no_answer(ret_why, LISTENER_WHY_MAX);
    if (head.status < 0 || head.arg < 1 || head.arg > WORKERS_MAX) {
        channel_close_fds(&r->message, 0);
        return refused(r, ret_why, LISTENER_WHY_MAX);
    }
    if (!receive_fds(r, head.arg, fds))
        return no_answer(ret_why, LISTENER_WHY_MAX);
    return listener_adopt(options, fds, head.arg, false, ret_listener, ret_why);
}

static int remote_bind(struct door *d, const char *owner, const struct listener_options *options,
                       struct listener **ret_listener, char ret_why[LISTENER_WHY_MAX])
{
    struct remote *r = remote_of(d);
    pthread_mutex_lock(&r->lock);
    int result = bind_locked(r, owner, options, ret_listener, ret_why);
    pthread_mutex_unlock(&r->lock);
    return result;
}

static void remote_unbind(struct door *d, struct listener **listener)
{
    struct remote *r = remote_of(d);
    char text[ADDRESS_TEXT_MAX], why[DOOR_WHY_MAX];
    (void)address_format(listener_address(*listener), text);
    listener_close(listener);
    pthread_mutex_lock(&r->lock);
    wire_begin(&r->message, WIRE_UNBIND, 0, 0, 0);
    if (wire_put(&r->message, text) && ask_plain(r, why, sizeof(why)) < 0)
        log_debug("engine", "%s stays open: %s", text, why);
    pthread_mutex_unlock(&r->lock);
}

/* Asks what r->message holds, which is answered by a descriptor, or -errno. */
static int ask_file(struct remote *r)
{
    struct wire_head head;
    int fd = -EIO;
    if (ask(r, DOOR_ANSWER_MS, &head)) {
        bool good = head.status == 0 && r->message.fd_count == 1;
        if (good)
            fd = r->message.fds[0];
        else if (head.status < 0)
            fd = head.status;
        channel_close_fds(&r->message, good ? 1 : 0);
    }
    return fd;
}

static int remote_file(struct door *d, const char *path)
{
    struct remote *r = remote_of(d);
    pthread_mutex_lock(&r->lock);
    wire_begin(&r->message, WIRE_FILE, 0, 0, 0);
    int fd = wire_put(&r->message, path) ? ask_file(r) : -ENAMETOOLONG;
    pthread_mutex_unlock(&r->lock);
    return fd;
}

static int remote_challenge(struct door *d, const char *folder, const char *token)
{
    struct remote *r = remote_of(d);
    pthread_mutex_lock(&r->lock);
    wire_begin(&r->message, WIRE_CHALLENGE, 0, 0, 0);
    bool fits = wire_put(&r->message, folder) && wire_put(&r->message, token);
    int fd = fits ? ask_file(r) : -ENAMETOOLONG;
    pthread_mutex_unlock(&r->lock);
    return fd;
}

static int remote_challenges(struct door *d, const char *folder, char **ret_names, size_t *ret_len)
{
    struct remote *r = remote_of(d);
    if (r->known < WIRE_CHALLENGES)
        return -ENOSYS; /* the supervisor is still the one of before an upgrade */
    pthread_mutex_lock(&r->lock);
    wire_begin(&r->message, WIRE_CHALLENGES, 0, 0, 0);
    int fd = wire_put(&r->message, folder) ? ask_file(r) : -ENAMETOOLONG;
    pthread_mutex_unlock(&r->lock);
    if (fd < 0)
        return fd;
    *ret_names = wire_file_read(fd, ret_len);
    (void)close(fd);
    return *ret_names ? 0 : -ENOMEM;
}

static uint64_t stamp_of(const struct wire_head *head)
{
    return (uint64_t)head->flag << 32 | head->arg;
}

/* The answer to WIRE_TLS_FILE. */
static int take_tls_file(struct remote *r, const struct wire_head *head, struct tls_file *ret_file,
                         char ret_why[TLS_FILE_WHY_MAX])
{
    if (head->status < 0 || r->message.fd_count != 1) {
        channel_close_fds(&r->message, 0);
        return refused(r, ret_why, TLS_FILE_WHY_MAX);
    }
    struct tls_file f = {.stamp = stamp_of(head)};
    f.bytes = wire_file_read(r->message.fds[0], &f.n);
    channel_close_fds(&r->message, 0);
    if (f.bytes) {
        *ret_file = f;
        return 0;
    }
    (void)snprintf(ret_why, TLS_FILE_WHY_MAX, "there is no memory for it");
    return -(int)REASON_overload;
}

static int remote_tls_file(struct door *d, const char *path, struct tls_file *ret_file,
                           char ret_why[TLS_FILE_WHY_MAX])
{
    struct remote *r = remote_of(d);
    struct wire_head head;
    pthread_mutex_lock(&r->lock);
    wire_begin(&r->message, WIRE_TLS_FILE, 0, 0, 0);
    int result = wire_put(&r->message, path) && ask(r, DOOR_ANSWER_MS, &head)
                     ? take_tls_file(r, &head, ret_file, ret_why)
                     : no_answer(ret_why, TLS_FILE_WHY_MAX);
    pthread_mutex_unlock(&r->lock);
    return result;
}

static bool remote_tls_look(struct door *d, const char *path, uint64_t *ret_stamp)
{
    struct remote *r = remote_of(d);
    struct wire_head head;
    pthread_mutex_lock(&r->lock);
    wire_begin(&r->message, WIRE_TLS_LOOK, 0, 0, 0);
    bool ok = wire_put(&r->message, path) && ask(r, DOOR_ANSWER_MS, &head);
    if (ok)
        channel_close_fds(&r->message, 0);
    ok = ok && head.status == 0;
    if (ok)
        *ret_stamp = stamp_of(&head);
    pthread_mutex_unlock(&r->lock);
    return ok;
}

static int remote_save(struct door *d, struct span text, char *ret_why, size_t why_size)
{
    struct remote *r = remote_of(d);
    int file = wire_file("poise.yaml", text);
    if (file < 0) {
        (void)snprintf(ret_why, why_size, "out of memory for the configuration");
        return -(int)REASON_overload;
    }
    pthread_mutex_lock(&r->lock);
    wire_begin(&r->message, WIRE_SAVE, 0, 0, 0);
    r->message.fds[r->message.fd_count++] = file;
    int result = ask_plain(r, ret_why, why_size);
    pthread_mutex_unlock(&r->lock);
    (void)close(file);
    return result;
}

static int remote_upgrade(struct door *d, char *ret_why, size_t why_size)
{
    struct remote *r = remote_of(d);
    pthread_mutex_lock(&r->lock);
    wire_begin(&r->message, WIRE_UPGRADE, 0, 0, 0);
    int result = ask_plain(r, ret_why, why_size);
    pthread_mutex_unlock(&r->lock);
    return result;
}

/* ---- news ---- */

static void gone(struct remote *r)
{
    channel_watch_close(&r->watch);
    r->fn(r->user, DOOR_GONE, "the supervisor is gone");
}

static void on_news(void *user)
{
    struct remote *r = user;
    struct channel_message m;
    struct wire_head head;
    enum channel_result result = channel_receive(r->news, &m, 0);
    if (result == CHANNEL_NOTHING)
        return;
    if (result != CHANNEL_OK || !wire_head(&m, &head)) {
        gone(r);
        return;
    }
    channel_close_fds(&m, 0);
    size_t at = 0;
    const char *why;
    if (!wire_text(&m, &at, &why) || !why)
        why = "";
    if (head.type == WIRE_RETIRE)
        r->fn(r->user, DOOR_RETIRE, why);
    else if (head.type == WIRE_UPGRADED)
        r->fn(r->user, head.status == 0 ? DOOR_UPGRADED : DOOR_UPGRADE_FAILED, why);
}

static int remote_watch(struct door *d, struct loop *loop, door_event_fn *fn, void *user)
{
    struct remote *r = remote_of(d);
    r->fn = fn;
    r->user = user;
    return channel_watch_open(loop, r->news, on_news, r, &r->watch);
}

static void remote_unwatch(struct door *d)
{
    channel_watch_close(&remote_of(d)->watch);
}

static void remote_tell(struct door *d, enum door_tell what, bool ok)
{
    static const enum wire_type types[] = {
        [DOOR_TELL_READY] = WIRE_READY,
        [DOOR_TELL_ALIVE] = WIRE_ALIVE,
        [DOOR_TELL_STOPPING] = WIRE_STOPPING,
        [DOOR_TELL_RELOADED] = WIRE_RELOADED,
    };
    struct channel_message m;
    wire_begin(&m, types[what], ok ? 0 : -1, 0, 0);
    /* A supervisor that does not read is told again, or is gone. */
    (void)!channel_send(remote_of(d)->news, &m, what == DOOR_TELL_ALIVE ? 0 : DOOR_ANSWER_MS);
}

static const struct door_ops remote_ops = {
    .free = remote_free,
    .config = remote_config,
    .bind = remote_bind,
    .unbind = remote_unbind,
    .file = remote_file,
    .challenge = remote_challenge,
    .challenges = remote_challenges,
    .tls_file = remote_tls_file,
    .tls_look = remote_tls_look,
    .save = remote_save,
    .upgrade = remote_upgrade,
    .accept = remote_accept,
    .watch = remote_watch,
    .unwatch = remote_unwatch,
    .tell = remote_tell,
};

static bool say_hello(struct remote *r)
{
    struct wire_head head;
    wire_begin(&r->message, WIRE_HELLO, 0, HANDOVER_VERSION, 0);
    if (!ask(r, DOOR_ANSWER_MS, &head) || head.status < 0)
        return false;
    channel_close_fds(&r->message, 0);
    size_t at = 0;
    for (size_t i = 0; i < ARRAY_LEN(r->texts); i++) {
        const char *text;
        if (!wire_text(&r->message, &at, &text))
            return false;
        r->texts[i] = text ? strdup(text) : NULL;
        if (text && !r->texts[i])
            return false;
    }
    r->door.path = r->texts[0];
    r->door.overrides = (struct config_overrides){
        .workers = r->texts[1],
        .engine = r->texts[2],
        .log_level = r->texts[3],
        .log_file = r->texts[4],
    };
    r->door.workers = head.arg;
    r->known = head.flag;
    r->door.supervisor_pid = getppid();
    return true;
}

int door_engine_new(int questions, int news, struct door **ret_door)
{
    struct remote *r = calloc(1, sizeof(*r));
    if (!r)
        return -(int)REASON_overload;
    r->door.ops = &remote_ops;
    r->questions = questions;
    r->news = news;
    pthread_mutex_init(&r->lock, NULL);
    if (!say_hello(r)) {
        remote_free(&r->door);
        return -(int)REASON_system_error;
    }
    *ret_door = &r->door;
    return 0;
}
