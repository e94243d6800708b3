/* SPDX-License-Identifier: MIT */
#include "app/challenges.h"

#include "app/door.h"
#include "base/log.h"
#include "forward/forwarder.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RATION_MS 100
#define RATION    (CHALLENGES_PER_S * RATION_MS / 1000)

/* A folder that cannot be read is said again after so long. */
#define COMPLAINT_MS 10000

struct challenges {
    struct loop *loop;
    struct door *door;
    uint64_t ration_since_ns;
    unsigned ration; /* used up since then */
    uint64_t complained_ns;
};

/* Whether one more may be looked at now. */
static bool take_ration(struct challenges *c)
{
    uint64_t now = loop_now(c->loop);
    if (now - c->ration_since_ns >= RATION_MS * UINT64_C(1000000)) {
        c->ration_since_ns = now;
        c->ration = 0;
    }
    return c->ration++ < RATION;
}

/* All of it into q->text. 0 or -errno. */
static int read_text(int fd, struct challenge *q)
{
    uint8_t more = 0;
    for (;;) {
        bool full = q->text_len == sizeof(q->text);
        void *to = full ? &more : q->text + q->text_len;
        size_t room = full ? 1 : sizeof(q->text) - q->text_len;
        ssize_t n = pread(fd, to, room, (off_t)q->text_len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : 0;
        if (full)
            return -EFBIG;
        q->text_len += (uint32_t)n;
    }
}

static int look(struct challenges *c, struct challenge *q)
{
    int fd = door_challenge(c->door, q->folder, q->token);
    if (fd < 0)
        return fd;
    int r = read_text(fd, q);
    (void)close(fd);
    return r;
}

/* That there is no such file is what scanners are told all day. */
static void complain(struct challenges *c, const struct challenge *q, int error)
{
    uint64_t now = loop_now(c->loop);
    if (error == -ENOENT ||
        (c->complained_ns && now - c->complained_ns < COMPLAINT_MS * UINT64_C(1000000)))
        return;
    c->complained_ns = now;
    log_warn("acme", "cannot read a challenge folder=%s token=%s: %s", q->folder, q->token,
             strerror(-error));
}

static void on_asked(struct loop *loop, struct message *m)
{
    (void)loop;
    struct challenge *q = container_of(m, struct challenge, message);
    struct challenges *c = q->f->challenge_user;
    if (!take_ration(c)) {
        challenge_answer(q, -(int)REASON_overload);
        return;
    }
    int r = look(c, q);
    if (r < 0) {
        complain(c, q, r);
        q->text_len = 0;
    }
    challenge_answer(q, r < 0 ? -(int)REASON_acme_unknown : 0);
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
    if (c)
        *c = (struct challenges){.loop = loop, .door = door};
    return c;
}

void challenges_free(struct challenges **c)
{
    free(*c);
    *c = NULL;
}
