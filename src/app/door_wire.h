/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What an engine and its supervisor say to each other: a fixed head, then texts, and descriptors.
 *
 * A stamp of 64 bits stands in arg and flag. Two channels. On the first the engine asks and the
 * supervisor answers, one question at a time; on the second either tells the other news, unasked.
 * An engine of another version may stand at the other end after an upgrade: a head that is not ours
 * ends the talk.
 *
 *   question      arg          texts                  answer: arg, texts, descriptors
 *   WIRE_HELLO    state version path, overrides        workers; the last question known; -
 *   WIRE_CONFIG   -            -                       -; why; a memory file with the text
 *   WIRE_ACCEPT   -            -                       -
 *   WIRE_BIND     shards, flag owner, address          how many; why; the sockets, in messages of
 *                                                      CHANNEL_FDS_MAX until all are there
 *   WIRE_UNBIND   -            address                 -
 *   WIRE_FILE     -            path                    -; -; the file. status -errno
 *   WIRE_SAVE     -            - (a memory file)       -; why
 *   WIRE_CHALLENGE -           folder, token           -; -; the file. status -errno
 *   WIRE_CHALLENGES -          folder                  -; -; a memory file of the tokens in it.
 *                                                      status -errno
 *   WIRE_UPGRADE  -            -                       -; why
 *   WIRE_TLS_FILE -            path                    stamp; why; a memory file with its bytes
 *   WIRE_TLS_LOOK -            path, or none: all      stamp
 */

#include "base/bytes.h"
#include "base/compiler.h"
#include "io/channel.h"

#include <stdbool.h>
#include <stdint.h>

#define WIRE_MAGIC   0x706f6973u /* "pois" */
#define WIRE_VERSION 1

enum wire_type {
    WIRE_HELLO = 1,
    WIRE_CONFIG,
    WIRE_ACCEPT,
    WIRE_BIND,
    WIRE_UNBIND,
    WIRE_FILE,
    WIRE_SAVE,
    WIRE_UPGRADE,
    WIRE_TLS_FILE,
    WIRE_TLS_LOOK,
    WIRE_CHALLENGE,
    WIRE_CHALLENGES,
    WIRE_QUESTION_LAST = WIRE_CHALLENGES,
    /* news of the engine */
    WIRE_READY = 32,
    WIRE_ALIVE,
    WIRE_STOPPING,
    WIRE_RELOADED, /* status 0 or not */
    /* news of the supervisor */
    WIRE_RETIRE = 64,
    WIRE_UPGRADED, /* status 0 or not; why */
};

struct wire_head {
    uint32_t magic;
    uint16_t version;
    uint16_t type;
    int32_t status; /* of an answer: 0, or negative */
    uint32_t arg;
    uint32_t flag;
    uint32_t number; /* of a question; its answer bears the same, so that a late one is known */
};

/* A message with this head and nothing else. */
void wire_begin(struct channel_message *m, enum wire_type type, int32_t status, uint32_t arg,
                uint32_t flag);

/* Gives the message that number. */
void wire_number(struct channel_message *m, uint32_t number);

/* Appends a text, or that there is none (NULL); false if it has no room. */
bool wire_put(struct channel_message *m, const char *text);

/* The head; false if it is none of ours. */
NODISCARD bool wire_head(const struct channel_message *m, struct wire_head *ret_head);

/* The text that stands at *at (0 = the first), which moves behind it. It is NUL-terminated inside
 * the message. False if there is none that is whole; NULL text where there is "none". */
NODISCARD bool wire_text(const struct channel_message *m, size_t *at, const char **ret_text);

/* A memory file of that text, read from its start; or -1. */
NODISCARD int wire_file(const char *name, struct span text);

/* All of a memory file: malloc'd and NUL-terminated; NULL if it cannot be read or is too long. */
char *wire_file_read(int fd, size_t *ret_len);
