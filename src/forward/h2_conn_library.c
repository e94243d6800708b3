/* SPDX-License-Identifier: MIT */
/*
 * nghttp2's memory comes from slabs, one for each size it asks for, so that a stream costs a few
 * dozen instructions instead of a dozen mallocs. A block begins with its class, because nghttp2
 * does not say how large what it gives back was.
 */
#include "forward/h2_conn_priv.h"

#include "base/check.h"
#include "base/limits.h"

#include <stdlib.h>
#include <string.h>

/* ---- memory ---- */

/* In front of each block; keeps it aligned to 16. */
struct block {
    uint64_t klass;
    uint64_t bytes; /* usable */
};

#define CLASS_MALLOC H2_MEMORY_CLASSES

/* Usable bytes. The largest but one is for nghttp2's frame buffer, one to each session. */
static const uint32_t class_bytes[H2_MEMORY_CLASSES] = {
    48, 80, 112, 176, 240, 304, 432, 560, 1072, 2096, 4144, 8240, 16416, 16496,
};

static void *memory_get(struct h2_library *l, size_t n)
{
    size_t klass = 0;
    while (klass < H2_MEMORY_CLASSES && class_bytes[klass] < n)
        klass++;
    size_t bytes = klass < H2_MEMORY_CLASSES ? class_bytes[klass] : n;
    if (l->bytes + bytes > H2_MEMORY_MAX)
        return NULL;
    struct block *b =
        klass < H2_MEMORY_CLASSES ? slab_get(&l->classes[klass]) : malloc(sizeof(*b) + n);
    if (!b)
        return NULL;
    *b = (struct block){klass, bytes};
    l->bytes += bytes;
    return b + 1;
}

static struct block *block_of(void *p)
{
    return (struct block *)p - 1;
}

static void memory_put(struct h2_library *l, void *p)
{
    struct block *b = block_of(p);
    CHECK(l->bytes >= b->bytes);
    l->bytes -= b->bytes;
    if (b->klass == CLASS_MALLOC)
        free(b);
    else
        slab_put(&l->classes[b->klass], b);
}

static void *on_malloc(size_t n, void *user)
{
    return memory_get(user, n);
}

static void on_free(void *p, void *user)
{
    if (p)
        memory_put(user, p);
}

static void *on_calloc(size_t count, size_t n, void *user)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, n, &bytes))
        return NULL;
    void *p = memory_get(user, bytes);
    return p ? memset(p, 0, bytes) : NULL;
}

static void *on_realloc(void *p, size_t n, void *user)
{
    if (!p)
        return memory_get(user, n);
    size_t before = block_of(p)->bytes;
    if (n <= before)
        return p;
    void *more = memory_get(user, n);
    if (!more)
        return NULL;
    memcpy(more, p, before);
    memory_put(user, p);
    return more;
}

/* ---- options and callbacks ---- */

static nghttp2_option *new_option(void)
{
    nghttp2_option *o;
    if (nghttp2_option_new(&o) != 0)
        return NULL;
    nghttp2_option_set_no_auto_window_update(o, 1);
    nghttp2_option_set_no_closed_streams(o, 1);
    nghttp2_option_set_max_continuations(o, H2_CONTINUATIONS_MAX);
    nghttp2_option_set_max_settings(o, H2_SETTINGS_MAX);
    nghttp2_option_set_max_outbound_ack(o, H2_CONTROL_PER_S);
    /* What we send is limited by what a head may be, whatever its fields cost uncompressed. */
    nghttp2_option_set_max_send_header_block_length(o, 4 * HTTP_HEAD_MAX);
    return o;
}

static nghttp2_session_callbacks *new_callbacks(void)
{
    nghttp2_session_callbacks *c;
    if (nghttp2_session_callbacks_new(&c) != 0)
        return NULL;
    nghttp2_session_callbacks_set_on_begin_frame_callback(c, h2_on_begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(c, h2_on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(c, h2_on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback(c, h2_on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(c, h2_on_frame);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(c, h2_on_invalid_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, h2_on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(c, h2_on_stream_close);
    nghttp2_session_callbacks_set_send_data_callback(c, h2_send_data);
    nghttp2_session_callbacks_set_on_frame_send_callback(c, h2_on_frame_send);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(c, h2_on_frame_not_send);
    return c;
}

struct h2_library *h2_library_new(struct loop *loop)
{
    struct h2_library *l = calloc(1, sizeof(*l));
    if (!l)
        return NULL;
    l->loop = loop;
    l->mem = (nghttp2_mem){l, on_malloc, on_free, on_calloc, on_realloc};
    for (size_t i = 0; i < H2_MEMORY_CLASSES; i++)
        slab_init(&l->classes[i], sizeof(struct block) + class_bytes[i], 16, 0);
    slab_init(&l->outputs, sizeof(struct h2_output), 8, 0);
    slab_init(&l->helds, sizeof(struct h2_held), 8, 0);
    l->option = new_option();
    l->callbacks = new_callbacks();
    if (!l->option || !l->callbacks)
        h2_library_free(&l);
    return l;
}

void h2_library_free(struct h2_library **ref)
{
    struct h2_library *l = *ref;
    if (!l)
        return;
    *ref = NULL;
    CHECK(l->bytes == 0 && l->held[0] == 0 && l->held[1] == 0);
    nghttp2_session_callbacks_del(l->callbacks);
    nghttp2_option_del(l->option);
    slab_fini(&l->helds);
    slab_fini(&l->outputs);
    for (size_t i = 0; i < H2_MEMORY_CLASSES; i++)
        slab_fini(&l->classes[i]);
    free(l);
}

struct h2_room *h2_library_room(struct h2_library *l)
{
    return &l->room;
}
