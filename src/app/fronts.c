/* SPDX-License-Identifier: MIT */
/*
 * Fronts and openings in use are in the order of the present snapshot: `fronts` by listener,
 * `openings` by address, all listeners in a row. A change holds the same two lists for the next
 * snapshot, and what it does not take over goes to a departure (departure.c), which frees it.
 */
#include "app/fronts.h"

#include "app/departure.h"
#include "base/check.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fronts {
    struct crew *crew;
    struct loop *loop;
    struct door *door;
    const struct generation *generation; /* the present one; NULL at first */
    struct front **fronts;
    size_t front_count;
    struct opening **openings;
    size_t opening_count;
    struct inlets inlets;
    struct list departures;
    struct ids numbers; /* of fronts, for their counters */
};

/* Inlets at which every worker shall begin to accept. */
struct gates_due {
    struct grace grace;
    size_t count;
    struct inlet *inlets[];
};

struct fronts_change {
    const struct snapshot *snapshot;
    struct front **fronts; /* by listener */
    bool *front_is_new;
    struct opening **openings; /* by address */
    bool *opening_is_new;
    size_t opening_count, opening_new;
    bool *front_stays, *opening_stays; /* of the present ones */
    struct departure *departure;       /* NULL: nothing leaves */
    struct gates_due *gates_due;
};

struct fronts *fronts_new(struct crew *crew, struct loop *loop, struct door *door)
{
    struct fronts *fs = calloc(1, sizeof(*fs));
    if (!fs)
        return NULL;
    fs->crew = crew;
    fs->loop = loop;
    fs->door = door;
    list_init(&fs->departures);
    ids_init(&fs->numbers);
    return fs;
}

/* ---- fronts ---- */

static size_t present_listeners(const struct fronts *fs)
{
    return fs->generation ? fs->generation->snapshot->listener_count : 0;
}

/* The present front of the same name and protocol, or NULL. */
static struct front *front_find(struct fronts *fs, struct fronts_change *c,
                                const struct listener_conf *conf)
{
    for (size_t i = 0; i < present_listeners(fs); i++) {
        const struct listener_conf *now = &fs->generation->snapshot->listeners[i];
        if (now->protocol == conf->protocol && strcmp(now->name, conf->name) == 0) {
            c->front_stays[i] = true;
            return fs->fronts[i];
        }
    }
    return NULL;
}

static bool take_fronts(struct fronts *fs, struct fronts_change *c)
{
    for (size_t i = 0; i < c->snapshot->listener_count; i++) {
        c->fronts[i] = front_find(fs, c, &c->snapshot->listeners[i]);
        if (c->fronts[i])
            continue;
        c->fronts[i] = front_new(crew_count(fs->crew), &fs->numbers);
        c->front_is_new[i] = true;
        if (!c->fronts[i])
            return false;
    }
    return true;
}

/* ---- openings ---- */

static struct opening *opening_find(struct fronts *fs, struct fronts_change *c,
                                    const struct address *address, const char *owner)
{
    for (size_t i = 0; i < fs->opening_count; i++) {
        const struct opening *o = fs->openings[i];
        if (!c->opening_stays[i] && address_equal(o->configured, address) &&
            (!owner || strcmp(o->owner, owner) == 0)) {
            c->opening_stays[i] = true;
            return fs->openings[i];
        }
    }
    return NULL;
}

/* First those that stay with their listener: two of port 0 are told apart by that. */
static void take_openings(struct fronts *fs, struct fronts_change *c, bool of_same_owner)
{
    size_t at = 0;
    for (size_t i = 0; i < c->snapshot->listener_count; i++) {
        const struct listener_conf *l = &c->snapshot->listeners[i];
        for (size_t k = 0; k < l->address_count; k++, at++) {
            if (!c->openings[at])
                c->openings[at] =
                    opening_find(fs, c, &l->addresses[k], of_same_owner ? l->name : NULL);
        }
    }
}

/* The present address without which `wanted` could perhaps be had: one of them is every address.
 * Clients that are about to connect to the one cannot be handed to the other. */
static const struct address *in_the_way(const struct fronts *fs, const struct address *wanted)
{
    for (size_t i = 0; wanted->port != 0 && i < fs->opening_count; i++) {
        const struct address *held = listener_address(fs->openings[i]->inlet.listener);
        if (held->port == wanted->port && (address_is_any(held) || address_is_any(wanted)))
            return held;
    }
    return NULL;
}

static void explain_refusal(const struct fronts *fs, const struct listener_conf *conf,
                            const struct address *wanted, const char *sentence, char *why,
                            size_t why_size)
{
    char now[ADDRESS_TEXT_MAX], next[ADDRESS_TEXT_MAX];
    const struct address *held = in_the_way(fs, wanted);
    if (!held) {
        (void)snprintf(why, why_size, "listener %s: %s", conf->name, sentence);
        return;
    }
    (void)address_format(held, now);
    (void)address_format(wanted, next);
    (void)snprintf(why, why_size,
                   "listener %s: cannot listen on %s while %s is open; take that away in a reload "
                   "of its own first",
                   conf->name, next, now);
}

static int bind_new(struct fronts *fs, struct fronts_change *c, size_t at,
                    const struct listener_conf *conf, const struct address *address, char *why,
                    size_t why_size)
{
    struct listener_options o = {
        .address = *address,
        .shards = crew_count(fs->crew),
        .defer_accept = conf->protocol == PROTOCOL_HTTP,
    };
    char sentence[LISTENER_WHY_MAX];
    struct opening *new = calloc(1, sizeof(*new));
    if (!new) {
        (void)snprintf(why, why_size, "listener %s: out of memory", conf->name);
        return -(int)REASON_overload;
    }
    int r = door_bind(fs->door, conf->name, &o, &new->inlet.listener, sentence);
    if (r < 0) {
        explain_refusal(fs, conf, address, sentence, why, why_size);
        free(new);
        return r;
    }
    c->openings[at] = new;
    c->opening_is_new[at] = true;
    c->opening_new++;
    return 0;
}

static int bind_missing(struct fronts *fs, struct fronts_change *c, char *why, size_t why_size)
{
    size_t at = 0;
    int r = 0;
    for (size_t i = 0; i < c->snapshot->listener_count; i++) {
        const struct listener_conf *l = &c->snapshot->listeners[i];
        for (size_t k = 0; k < l->address_count && r == 0; k++, at++) {
            if (!c->openings[at])
                r = bind_new(fs, c, at, l, &l->addresses[k], why, why_size);
        }
    }
    return r;
}

/* Gives each new opening the lowest number that is free. */
static bool number_new(struct fronts *fs, struct fronts_change *c)
{
    struct inlets *in = &fs->inlets;
    uint32_t room = in->room + (uint32_t)c->opening_new;
    struct inlet **at = realloc(in->at, (room + 1) * sizeof(at[0]));
    if (!at)
        return false;
    memset(at + in->room, 0, (room - in->room) * sizeof(at[0]));
    *in = (struct inlets){at, room};
    uint32_t number = 0;
    for (size_t i = 0; i < c->opening_count; i++) {
        if (!c->opening_is_new[i])
            continue;
        while (at[number])
            number++;
        c->openings[i]->inlet.number = number++;
    }
    /* No more room than there are numbers, or reloads without end would make it grow. */
    while (in->room > number && !at[in->room - 1])
        in->room--;
    return true;
}

/* ---- a change ---- */

static struct fronts_change *change_new(struct fronts *fs, const struct snapshot *s)
{
    struct fronts_change *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    c->snapshot = s;
    for (size_t i = 0; i < s->listener_count; i++)
        c->opening_count += s->listeners[i].address_count;
    c->fronts = calloc(s->listener_count + 1, sizeof(c->fronts[0]));
    c->front_is_new = calloc(s->listener_count + 1, sizeof(bool));
    c->openings = calloc(c->opening_count + 1, sizeof(c->openings[0]));
    c->opening_is_new = calloc(c->opening_count + 1, sizeof(bool));
    c->front_stays = calloc(fs->front_count + 1, sizeof(bool));
    c->opening_stays = calloc(fs->opening_count + 1, sizeof(bool));
    if (!c->fronts || !c->front_is_new || !c->openings || !c->opening_is_new || !c->front_stays ||
        !c->opening_stays)
        fronts_abandon(fs, &c);
    return c;
}

static void change_free(struct fronts_change **change)
{
    struct fronts_change *c = *change;
    free(c->fronts);
    free(c->front_is_new);
    free(c->openings);
    free(c->opening_is_new);
    free(c->front_stays);
    free(c->opening_stays);
    free(c);
    *change = NULL;
}

static bool make_gates_due(struct fronts_change *c)
{
    size_t bytes = c->opening_new * sizeof(struct inlet *);
    struct gates_due *due = calloc(1, sizeof(*due) + bytes);
    c->gates_due = due;
    if (!due)
        return false;
    for (size_t i = 0; i < c->opening_count; i++) {
        if (c->opening_is_new[i])
            due->inlets[due->count++] = &c->openings[i]->inlet;
    }
    return true;
}

void fronts_abandon(struct fronts *fs, struct fronts_change **change)
{
    struct fronts_change *c = *change;
    if (!c)
        return;
    for (size_t i = 0; c->fronts && c->front_is_new && i < c->snapshot->listener_count; i++) {
        if (c->front_is_new[i])
            front_free(&c->fronts[i], &fs->numbers);
    }
    for (size_t i = 0; c->openings && c->opening_is_new && i < c->opening_count; i++) {
        if (c->opening_is_new[i])
            opening_free(&c->openings[i], fs->door);
    }
    departure_free(&c->departure);
    free(c->gates_due);
    change_free(change);
}

static size_t count_leaving(const bool *stays, size_t count)
{
    size_t leaving = 0;
    for (size_t i = 0; i < count; i++)
        leaving += !stays[i];
    return leaving;
}

static bool make_departure(struct fronts *fs, struct fronts_change *c)
{
    size_t fronts = count_leaving(c->front_stays, fs->front_count);
    size_t openings = count_leaving(c->opening_stays, fs->opening_count);
    if (fronts + openings == 0)
        return true;
    struct departure_options o = {
        .crew = fs->crew,
        .loop = fs->loop,
        .door = fs->door,
        .inlets = &fs->inlets,
        .departures = &fs->departures,
        .numbers = &fs->numbers,
        .deadline_ms = c->snapshot->drain_ms,
    };
    c->departure = departure_new(&o, fronts, openings);
    return c->departure != NULL;
}

int fronts_prepare(struct fronts *fs, const struct snapshot *s, struct fronts_change **ret_change,
                   char *ret_why, size_t why_size)
{
    struct fronts_change *c = change_new(fs, s);
    int r = c && take_fronts(fs, c) ? 0 : -(int)REASON_overload;
    if (r == 0) {
        take_openings(fs, c, true);
        take_openings(fs, c, false);
        r = make_departure(fs, c) ? 0 : -(int)REASON_overload;
    }
    (void)snprintf(ret_why, why_size, "listeners: out of memory");
    if (r == 0)
        r = bind_missing(fs, c, ret_why, why_size);
    if (r == 0 && (!number_new(fs, c) || !make_gates_due(c)))
        r = -(int)REASON_overload;
    if (r < 0) {
        fronts_abandon(fs, &c);
        return r;
    }
    ret_why[0] = '\0';
    *ret_change = c;
    return 0;
}

/* ---- commit ---- */

static void open_gates(struct worker *w, const struct gates_due *due)
{
    for (size_t i = 0; i < due->count; i++) {
        int r = worker_open_gate(w, due->inlets[i]);
        if (r < 0)
            log_error("worker", "cannot accept; other workers do reason=%s",
                      reason_name((enum reason) - r));
    }
}

static void on_worker(struct grace *g, struct worker *w)
{
    open_gates(w, container_of(g, struct gates_due, grace));
}

static void on_gates_open(struct grace *g)
{
    free(container_of(g, struct gates_due, grace));
}

/* By a round where the workers run. */
static void begin_to_accept(struct fronts *fs, struct gates_due *due)
{
    if (crew_alive(fs->crew) > 0 && due->count > 0) {
        due->grace = (struct grace){.visit = on_worker, .done = on_gates_open};
        grace_begin(crew_graces(fs->crew), &due->grace);
        return;
    }
    for (uint32_t i = 0; due->count > 0 && i < crew_count(fs->crew); i++)
        open_gates(crew_worker(fs->crew, i), due);
    free(due);
}

static void give_openings(struct fronts *fs, struct fronts_change *c)
{
    size_t at = 0;
    for (size_t i = 0; i < c->snapshot->listener_count; i++) {
        const struct listener_conf *l = &c->snapshot->listeners[i];
        for (size_t k = 0; k < l->address_count; k++, at++) {
            struct opening *o = c->openings[at];
            bool http = l->protocol == PROTOCOL_HTTP;
            if (!c->opening_is_new[at] && o->http != http)
                listener_defer_accept(o->inlet.listener, http);
            o->http = http;
            o->configured = &l->addresses[k];
            o->owner = l->name;
            atomic_store_explicit(&o->inlet.front, c->fronts[i], memory_order_release);
            fs->inlets.at[o->inlet.number] = &o->inlet;
        }
    }
}

static void let_leave(struct fronts *fs, struct fronts_change *c, void (*left)(void *user),
                      void *user)
{
    if (!c->departure) {
        left(user);
        return;
    }
    for (size_t i = 0; i < fs->front_count; i++) {
        if (!c->front_stays[i])
            departure_add_front(c->departure, fs->fronts[i]);
    }
    for (size_t i = 0; i < fs->opening_count; i++) {
        if (!c->opening_stays[i])
            departure_add_opening(c->departure, fs->openings[i]);
    }
    departure_begin(c->departure, left, user);
}

void fronts_commit(struct fronts *fs, struct fronts_change **change, struct generation *g,
                   void (*left)(void *user), void *user)
{
    struct fronts_change *c = *change;
    CHECK(g->snapshot == c->snapshot);
    for (size_t i = 0; i < c->snapshot->listener_count; i++) {
        g->confs[i].key = &c->fronts[i]->key;
        atomic_store_explicit(&c->fronts[i]->conf, &g->confs[i], memory_order_release);
    }
    give_openings(fs, c);
    begin_to_accept(fs, c->gates_due);
    let_leave(fs, c, left, user);
    free(fs->fronts);
    free(fs->openings);
    fs->generation = g;
    fs->fronts = c->fronts;
    fs->front_count = c->snapshot->listener_count;
    fs->openings = c->openings;
    fs->opening_count = c->opening_count;
    c->fronts = NULL;
    c->openings = NULL;
    change_free(change);
}

/* ---- to look at ---- */

struct front *const *fronts_list(const struct fronts *fs, size_t *ret_count)
{
    *ret_count = fs->front_count;
    return fs->fronts;
}

const struct address *fronts_address(const struct fronts *fs, size_t index)
{
    if (index >= fs->opening_count || !fs->openings[index]->inlet.listener)
        return NULL;
    return listener_address(fs->openings[index]->inlet.listener);
}

size_t fronts_address_count(const struct fronts *fs)
{
    return fs->opening_count;
}

const struct inlets *fronts_inlets(const struct fronts *fs)
{
    return &fs->inlets;
}

bool fronts_closing(const struct fronts *fs)
{
    for (struct list *at = fs->departures.next; at != &fs->departures; at = at->next) {
        if (departure_has_openings(departure_of(at)))
            return true;
    }
    return false;
}

/* ---- the end ---- */

void fronts_close(struct fronts *fs)
{
    for (size_t i = 0; i < fs->opening_count; i++) {
        fs->inlets.at[fs->openings[i]->inlet.number] = NULL;
        door_unbind(fs->door, &fs->openings[i]->inlet.listener);
    }
}

void fronts_free(struct fronts **fronts)
{
    struct fronts *fs = *fronts;
    if (!fs)
        return;
    while (!list_empty(&fs->departures)) {
        struct departure *d = departure_of(list_first(&fs->departures));
        departure_free(&d);
    }
    fronts_close(fs);
    for (size_t i = 0; i < fs->front_count; i++)
        front_free(&fs->fronts[i], &fs->numbers);
    for (size_t i = 0; i < fs->opening_count; i++)
        opening_free(&fs->openings[i], fs->door);
    free(fs->fronts);
    free(fs->openings);
    free(fs->inlets.at);
    ids_fini(&fs->numbers);
    free(fs);
    *fronts = NULL;
}
