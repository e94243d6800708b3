/* SPDX-License-Identifier: MIT */
#include "app/holdings.h"

#include "account/reason.h"
#include "base/check.h"
#include "base/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void holdings_init(struct holdings *h)
{
    *h = (struct holdings){};
    list_init(&h->all);
}

static void holding_free(struct holding *g)
{
    list_del(&g->link);
    listener_close(&g->listener);
    free(g->owner);
    free(g->asked);
    free(g);
}

void holdings_fini(struct holdings *h)
{
    while (!list_empty(&h->all))
        holding_free(list_entry(list_first(&h->all), struct holding, link));
    for (uint32_t i = 0; i < h->inherited.count; i++)
        (void)close(h->inherited.fds[i]);
    free(h->inherited.fds);
    h->inherited = (struct inherited){};
}

static struct holding *holding_new(struct holdings *h, const char *owner, const char *asked)
{
    struct holding *g = calloc(1, sizeof(*g));
    if (!g)
        return NULL;
    list_init(&g->link);
    g->owner = strdup(owner);
    g->asked = strdup(asked);
    if (!g->owner || !g->asked) {
        holding_free(g);
        return NULL;
    }
    list_add_tail(&h->all, &g->link);
    return g;
}

static struct holding *find(struct holdings *h, const char *owner, const char *asked, bool any_port,
                            uint32_t slot)
{
    struct holding *g;
    list_each(g, &h->all, link) {
        if (strcmp(g->asked, asked) != 0 || (g->owner[0] == '\0') != (owner[0] == '\0'))
            continue;
        if (!any_port || (strcmp(g->owner, owner) == 0 && !(g->given & 1u << slot)))
            return g;
    }
    return NULL;
}

/* Takes every socket of the service manager at that address. */
static uint32_t take_inherited(struct holdings *h, const struct address *a, int fds[WORKERS_MAX])
{
    uint32_t taken = 0, left = 0;
    for (uint32_t i = 0; i < h->inherited.count; i++) {
        int fd = h->inherited.fds[i];
        if (taken < WORKERS_MAX && listener_fd_is_at(fd, a))
            fds[taken++] = fd;
        else
            h->inherited.fds[left++] = fd;
    }
    h->inherited.count = left;
    return taken;
}

static int open_listener(struct holdings *h, struct holding *g,
                         const struct listener_options *options, char ret_why[LISTENER_WHY_MAX])
{
    int fds[WORKERS_MAX];
    uint32_t inherited = take_inherited(h, &options->address, fds);
    g->shards = options->shards;
    g->defer_accept = options->defer_accept;
    g->own_file = inherited == 0;
    if (inherited > 0)
        return listener_adopt(options, fds, inherited, false, &g->listener, ret_why);
    return listener_open(options, &g->listener, ret_why);
}

int holdings_get(struct holdings *h, const char *owner, const struct listener_options *options,
                 uint32_t slot, const struct holding **ret_holding, char ret_why[LISTENER_WHY_MAX])
{
    char asked[ADDRESS_TEXT_MAX];
    (void)address_format(&options->address, asked);
    bool any_port = options->address.kind != ADDRESS_UNIX && options->address.port == 0;
    struct holding *g = find(h, owner, asked, any_port, slot);
    if (!g) {
        g = holding_new(h, owner, asked);
        if (!g) {
            (void)snprintf(ret_why, LISTENER_WHY_MAX, "out of memory");
            return -(int)REASON_overload;
        }
        int r = open_listener(h, g, options, ret_why);
        if (r < 0) {
            holding_free(g);
            return r;
        }
    }
    g->given |= 1u << slot;
    *ret_holding = g;
    return 0;
}

void holdings_forget(struct holdings *h, uint32_t slot)
{
    struct holding *g;
    list_each(g, &h->all, link)
        g->given &= ~(1u << slot);
}

void holdings_close(struct holdings *h, const char *address)
{
    struct holding *g;
    list_each_safe(g, &h->all, link) {
        char text[ADDRESS_TEXT_MAX];
        (void)address_format(listener_address(g->listener), text);
        if (strcmp(text, address) == 0)
            holding_free(g);
    }
}

void holdings_close_others(struct holdings *h, uint32_t slot)
{
    struct holding *g;
    list_each_safe(g, &h->all, link) {
        if (!(g->given & 1u << slot))
            holding_free(g);
    }
}

/* Keeps what an address points to. */
int holdings_adopt(struct holdings *h, const struct holding *like, const int *fds, uint32_t count)
{
    char text[ADDRESS_TEXT_MAX], why[LISTENER_WHY_MAX];
    const char *complaint;
    struct listener_options o = {.shards = like->shards, .defer_accept = like->defer_accept};
    struct holding *g = holding_new(h, like->owner, like->asked);
    if (!g)
        return -(int)REASON_overload;
    int r = address_parse(span_cstr(like->asked), address_keep, text, &o.address, &complaint);
    if (r == 0)
        r = listener_adopt(&o, fds, count, like->own_file, &g->listener, why);
    if (r < 0) {
        holding_free(g);
        return r;
    }
    g->given = like->given;
    g->shards = like->shards;
    g->defer_accept = like->defer_accept;
    g->own_file = like->own_file;
    return 0;
}
