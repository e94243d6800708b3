/* SPDX-License-Identifier: MIT */
/*
 * Questions are answered in rounds. A round reads the folder after they were asked, so a file that
 * is there by then is found, and what is no name in it needs no look of its own: a flood of made-up
 * tokens costs one reading of the folder a round, however many they are. Equal questions share one
 * look. What a round has no calls left for comes first in the next one, folder by folder.
 */
#include "app/challenges.h"

#include "app/door.h"
#include "base/log.h"
#include "base/map.h"
#include "forward/forwarder.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROUND_MS    20
#define ROUND_CALLS (CHALLENGES_PER_S * ROUND_MS / 1000)

/* A folder that cannot be read is said again after so long. */
#define COMPLAINT_MS 10000

struct challenges {
    struct loop *loop;
    struct door *door;
    struct list waiting; /* questions, in the order of their turn */
    struct timer timer;  /* the next round, while there are any */
    uint64_t round_ns;
    unsigned calls; /* of the door that this round may still make */
    uint64_t complained_ns;
};

/* The tokens that a folder holds. */
struct names {
    bool known;
    char *text;
    struct map map;
};

static bool is_due(struct challenges *c, uint64_t since_ns, uint64_t ms)
{
    return since_ns == 0 || loop_now(c->loop) - since_ns >= ms * UINT64_C(1000000);
}

static void complain(struct challenges *c, const struct challenge *q, int error)
{
    if (!is_due(c, c->complained_ns, COMPLAINT_MS))
        return;
    c->complained_ns = loop_now(c->loop);
    if (error == -E2BIG)
        log_warn("acme", "too many files for a flood of questions to be told apart folder=%s",
                 q->folder);
    else
        log_warn("acme", "cannot read a challenge folder=%s token=%s: %s", q->folder, q->token,
                 strerror(-error));
}

/* ---- the folder ---- */

static void names_free(struct names *n)
{
    map_fini(&n->map);
    free(n->text);
}

/* Whoever asks does not choose what is in it: no seed. */
static bool names_parse(struct names *n)
{
    char *end;
    for (char *at = n->text; (end = strchr(at, '\n')) != NULL; at = end + 1) {
        if (map_put(&n->map, span_of(at, (size_t)(end - at)), at) < 0)
            return false;
    }
    return true;
}

/* A folder that cannot be listed may have files that can be opened. */
static void names_read(struct challenges *c, const struct challenge *q, struct names *ret_names)
{
    size_t len;
    *ret_names = (struct names){0};
    map_init(&ret_names->map, 0);
    c->calls--;
    int r = door_challenges(c->door, q->folder, &ret_names->text, &len);
    if (r == -E2BIG)
        complain(c, q, r);
    ret_names->known = r == -ENOENT || (r == 0 && names_parse(ret_names));
}

/* ---- a file ---- */

/* All of it into `text`. How much, or -errno. */
static ssize_t read_text(int fd, uint8_t text[REPLY_BODY_MAX + 1])
{
    size_t len = 0;
    while (len <= REPLY_BODY_MAX) {
        ssize_t n = pread(fd, text + len, REPLY_BODY_MAX + 1 - len, (off_t)len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : (ssize_t)len;
        len += (size_t)n;
    }
    return -EFBIG;
}

static ssize_t look(struct challenges *c, const struct challenge *q,
                    uint8_t text[REPLY_BODY_MAX + 1])
{
    c->calls--;
    int fd = door_challenge(c->door, q->folder, q->token);
    if (fd < 0)
        return fd;
    ssize_t n = read_text(fd, text);
    (void)close(fd);
    return n;
}

/* ---- a round ---- */

static struct challenge *first_of(const struct list *questions)
{
    return container_of(list_first(questions), struct challenge, queued);
}

static void answer(struct challenge *q, int result, struct span text)
{
    list_del(&q->queued);
    challenge_answer(q, result, text);
}

/* Moves those that ask for the same folder, and with `same_token` for the same file of it. */
static void take_equal(struct list *to, struct list *from, bool same_token)
{
    const struct challenge *like = first_of(from);
    for (struct list *at = from->next, *next; at != from; at = next) {
        next = at->next;
        const struct challenge *q = container_of(at, struct challenge, queued);
        if (strcmp(q->folder, like->folder) == 0 &&
            (!same_token || strcmp(q->token, like->token) == 0))
            list_move_tail(to, at);
    }
}

static void refuse_unknown(struct list *questions, const struct names *names)
{
    for (struct list *at = questions->next, *next; at != questions; at = next) {
        next = at->next;
        struct challenge *q = container_of(at, struct challenge, queued);
        if (!map_get(&names->map, span_cstr(q->token)))
            answer(q, -(int)REASON_acme_unknown, (struct span){0});
    }
}

/* All that ask for the file that the first one asks for. That there is none is what scanners are
 * told all day. */
static void answer_file(struct challenges *c, struct list *questions)
{
    uint8_t text[REPLY_BODY_MAX + 1];
    struct list same;
    list_init(&same);
    take_equal(&same, questions, true);
    ssize_t n = look(c, first_of(&same), text);
    if (n < 0 && n != -ENOENT)
        complain(c, first_of(&same), (int)n);
    while (!list_empty(&same))
        answer(first_of(&same), n < 0 ? -(int)REASON_acme_unknown : 0,
               span_of(text, n < 0 ? 0 : (size_t)n));
}

/* All that ask for the folder that the first one asks for; those it has no calls for to `later`. */
static void answer_folder(struct challenges *c, struct list *questions, struct list *later)
{
    struct list mine;
    struct names names;
    list_init(&mine);
    take_equal(&mine, questions, false);
    names_read(c, first_of(&mine), &names);
    if (names.known)
        refuse_unknown(&mine, &names);
    while (!list_empty(&mine) && c->calls > 0)
        answer_file(c, &mine);
    while (!names.known && !list_empty(&mine))
        answer(first_of(&mine), -(int)REASON_overload, (struct span){0});
    list_splice_tail(later, &mine);
    names_free(&names);
}

static void run_round(struct challenges *c)
{
    struct list later;
    list_init(&later);
    c->round_ns = loop_now(c->loop);
    c->calls = ROUND_CALLS;
    while (!list_empty(&c->waiting) && c->calls > 0)
        answer_folder(c, &c->waiting, &later);
    list_splice_tail(&c->waiting, &later);
    if (!list_empty(&c->waiting))
        loop_timer_set(c->loop, &c->timer, ROUND_MS);
}

static void on_timer(struct timer *t)
{
    run_round(container_of(t, struct challenges, timer));
}

static void on_asked(struct loop *loop, struct message *m)
{
    (void)loop;
    struct challenge *q = container_of(m, struct challenge, message);
    struct challenges *c = q->f->challenge_user;
    list_add_tail(&c->waiting, &q->queued);
    if (timer_armed(&c->timer))
        return;
    if (is_due(c, c->round_ns, ROUND_MS))
        run_round(c);
    else
        loop_timer_set(c->loop, &c->timer, ROUND_MS);
}

void challenges_ask(void *user, struct challenge *q)
{
    struct challenges *c = user;
    q->message.fn = on_asked;
    loop_post(c->loop, &q->message);
}

struct challenges *challenges_new(struct loop *loop, struct door *door)
{
    struct challenges *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    *c = (struct challenges){.loop = loop, .door = door};
    list_init(&c->waiting);
    timer_init(&c->timer, on_timer);
    return c;
}

void challenges_free(struct challenges **c)
{
    if (*c)
        loop_timer_stop((*c)->loop, &(*c)->timer);
    free(*c);
    *c = NULL;
}
