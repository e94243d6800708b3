/* SPDX-License-Identifier: MIT */
#include "load_h2.h"

#include <nghttp2/nghttp2.h>
#include <stdlib.h>
#include <string.h>

enum { TABLE = 4096 }; /* what the peer's HPACK table holds unless it says otherwise */

static void pair_make(const nghttp2_nv *nv, size_t count, bool bare, struct h2_block ret_pair[2])
{
    nghttp2_hd_deflater *deflater;
    if (nghttp2_hd_deflate_new(&deflater, TABLE) != 0)
        fail("HPACK");
    if (bare)
        nghttp2_hd_deflate_change_table_size(deflater, 0);
    for (int i = 0; i < 2; i++) {
        struct h2_block *b = &ret_pair[i];
        ssize_t n = nghttp2_hd_deflate_hd(deflater, b->bytes, sizeof b->bytes, nv, count);
        if (n < 0)
            fail("HPACK");
        b->length = (size_t)n;
    }
    nghttp2_hd_deflate_del(deflater);
}

void h2_blocks_make(const struct h2_field *fields, size_t count, struct h2_blocks *ret)
{
    nghttp2_nv nv[16];
    if (count > 16)
        fail("HPACK");
    for (size_t i = 0; i < count; i++) {
        const char *name = fields[i].name, *value = fields[i].value;
        nv[i] = (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name,
                             .value = (uint8_t *)(uintptr_t)value,
                             .namelen = strlen(name),
                             .valuelen = strlen(value)};
    }
    pair_make(nv, count, false, ret->table);
    pair_make(nv, count, true, ret->bare);
}

const struct h2_block *h2_block(struct h2 *h2, const struct h2_blocks *blocks)
{
    const struct h2_block *block = &(h2->bare ? blocks->bare : blocks->table)[h2->begun];
    h2->begun = true;
    return block;
}

struct h2 *h2_new(void)
{
    struct h2 *h2 = calloc(1, sizeof *h2);
    if (!h2)
        fail("calloc");
    h2->window = h2->stream_window = 65535;
    h2->stream_next = 1;
    return h2;
}

void h2_free(struct h2 *h2)
{
    if (h2)
        free(h2->out);
    free(h2);
}

/* ---- output ---- */

char *h2_room(struct h2 *h2, size_t n)
{
    size_t wanted = h2->out_len + n;
    if (wanted > h2->out_max) {
        h2->out_max = 2 * wanted;
        h2->out = realloc(h2->out, h2->out_max);
        if (!h2->out)
            fail("realloc");
    }
    char *at = h2->out + h2->out_len;
    h2->out_len = wanted;
    return at;
}

static void put32(uint8_t *at, uint32_t number)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(number >> (24 - 8 * i));
}

static uint32_t get32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

void h2_frame(struct h2 *h2, enum h2_frame type, unsigned flags, uint32_t stream,
              const void *payload, size_t n)
{
    uint8_t *at = (uint8_t *)h2_room(h2, H2_HEAD + n);
    put32(at, (uint32_t)n << 8 | (uint32_t)type);
    at[4] = (uint8_t)flags;
    put32(at + 5, stream);
    if (n)
        memcpy(at + H2_HEAD, payload, n);
}

static void window_open(struct h2 *h2, uint32_t bytes)
{
    uint8_t payload[4];
    put32(payload, bytes);
    h2_frame(h2, H2_WINDOW_UPDATE, 0, 0, payload, sizeof payload);
}

void h2_greet(struct h2 *h2)
{
    enum { MAX_STREAMS = 3, INITIAL_WINDOW = 4 };
    uint8_t settings[12] = {0, MAX_STREAMS, 0, 0, 0, 0, 0, INITIAL_WINDOW};
    put32(settings + 2, STREAMS_MAX);
    put32(settings + 8, H2_STREAM_WINDOW);
    h2_frame(h2, H2_SETTINGS, 0, 0, settings, sizeof settings);
    window_open(h2, H2_WINDOW);
}

bool h2_flush(struct connection *c)
{
    struct h2 *h2 = c->h2;
    c->out = h2->out;
    c->out_len = h2->out_len;
    if (!connection_flush(c))
        return false;
    if (c->out_sent == c->out_len)
        h2->out_len = c->out_len = c->out_sent = 0;
    return true;
}

/* ---- input ---- */

static bool settings_take(struct h2 *h2, const struct h2_head *head, const uint8_t *payload)
{
    enum { TABLE_SIZE = 1, INITIAL_WINDOW = 4 };
    if (head->flags & H2_ACK)
        return true;
    for (uint32_t at = 0; at + 6 <= head->length; at += 6) {
        uint32_t id = (uint32_t)payload[at] << 8 | payload[at + 1], value = get32(payload + at + 2);
        if (id == INITIAL_WINDOW)
            h2->stream_window = value;
        if (id == TABLE_SIZE && value < TABLE) {
            h2->bare = true;
            h2->begun = false; /* the next block says that the table is empty from now on */
        }
    }
    h2_frame(h2, H2_SETTINGS, H2_ACK, 0, NULL, 0);
    return true;
}

static bool frame_take(struct connection *c, const struct h2_taker *taker,
                       const struct h2_head *head, const uint8_t *payload)
{
    switch (head->type) {
    case H2_SETTINGS: return settings_take(c->h2, head, payload);
    case H2_PING:
        if (!(head->flags & H2_ACK))
            h2_frame(c->h2, H2_PING, H2_ACK, 0, payload, head->length);
        return true;
    case H2_WINDOW_UPDATE:
        if (!head->stream && head->length == 4)
            c->h2->window += get32(payload);
        return true;
    case H2_PUSH_PROMISE:
    case H2_CONTINUATION: return false;
    default: return taker->frame(c, head, payload);
    }
}

static bool data_take(struct connection *c, const struct h2_taker *taker, const char *bytes,
                      size_t n)
{
    struct h2 *h2 = c->h2;
    h2->data_left -= (uint32_t)n;
    h2->taken += n;
    if (h2->taken > H2_WINDOW / 2) {
        window_open(h2, (uint32_t)h2->taken);
        h2->taken = 0;
    }
    return taker->data(c, bytes, n, !h2->data_left && (h2->data.flags & H2_END_STREAM));
}

/* Takes one frame, of DATA only the head. Returns its bytes, 0 if they are not all here, -1 if it
 * is wrong. */
static ssize_t head_take(struct connection *c, const struct h2_taker *taker, const char *bytes,
                         size_t n)
{
    struct h2 *h2 = c->h2;
    const uint8_t *at = (const uint8_t *)bytes;
    if (n < H2_HEAD)
        return 0;
    struct h2_head head = {.length = get32(at) >> 8,
                           .type = at[3],
                           .flags = at[4],
                           .stream = get32(at + 5) & 0x7fffffff};
    if (head.length > H2_FRAME_MAX)
        return -1;
    if (head.type == H2_DATA) {
        h2->data = head;
        h2->data_left = head.length;
        bool good = !(head.flags & H2_PADDED) && (head.length || data_take(c, taker, bytes, 0));
        return good ? H2_HEAD : -1;
    }
    if (n - H2_HEAD < head.length)
        return 0;
    if (!frame_take(c, taker, &head, at + H2_HEAD))
        return -1;
    return H2_HEAD + (ssize_t)head.length;
}

bool h2_take(struct connection *c, const struct h2_taker *taker, const char *bytes, size_t n)
{
    while (n) {
        size_t used = c->h2->data_left < n ? c->h2->data_left : n;
        if (used) {
            if (!data_take(c, taker, bytes, used))
                return false;
        } else {
            ssize_t head = head_take(c, taker, bytes, n);
            if (head == 0)
                return connection_keep(c, bytes, n);
            if (head < 0)
                return false;
            used = (size_t)head;
        }
        bytes += used;
        n -= used;
    }
    return true;
}
