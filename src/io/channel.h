/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A channel: whole messages with descriptors between two processes of this program, over a pair of
 * unix sockets that keeps the bounds of messages.
 *
 * What does not fit a message (a configuration) travels as a memory file among the descriptors. The
 * other end may be hostile: nothing of a message is believed but its sizes, which the kernel
 * vouches for.
 *
 * Thread rule: one thread at a time at each end; a watch on its loop's thread.
 */

#include "base/compiler.h"

#include <stddef.h>
#include <stdint.h>

struct loop;

#define CHANNEL_BYTES_MAX 8192
#define CHANNEL_FDS_MAX   250 /* the kernel takes 253 */

struct channel_message {
    uint32_t byte_count;
    uint32_t fd_count;
    uint8_t bytes[CHANNEL_BYTES_MAX];
    int fds[CHANNEL_FDS_MAX]; /* when received: the receiver's to close; closed on exec */
};

enum channel_result {
    CHANNEL_OK,
    CHANNEL_NOTHING, /* not within the time */
    CHANNEL_ENDED,   /* the other end is gone */
    CHANNEL_FAILED,  /* no room, no descriptors, or a message beyond the limits */
};

/* Two ends, closed on exec, never blocking. 0 or -errno. */
NODISCARD int channel_pair(int ret_ends[2]);

/* Sends one message, waiting at most `wait_ms` for room. The descriptors stay the sender's. */
NODISCARD enum channel_result channel_send(int fd, const struct channel_message *m,
                                           unsigned wait_ms);

/* Receives one message, waiting for it at most `wait_ms`. */
NODISCARD enum channel_result channel_receive(int fd, struct channel_message *ret_message,
                                              unsigned wait_ms);

/* Closes the descriptors of a received message from number `from` on. */
void channel_close_fds(struct channel_message *m, uint32_t from);

/* ---- as an event of a loop ---- */

struct channel_watch;

/* Something can be received, or the other end is gone. */
typedef void channel_watch_fn(void *user);

/* 0 or a negative reason. The descriptor stays the caller's. */
NODISCARD int channel_watch_open(struct loop *loop, int fd, channel_watch_fn *fn, void *user,
                                 struct channel_watch **ret_watch);

/* Leaves NULL; accepts NULL. May be called in the callback. */
void channel_watch_close(struct channel_watch **watch);
