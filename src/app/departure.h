/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A departure: fronts and openings that a reload takes away, until nothing is left of them.
 *
 *   begin ─▶ last call ─▶ every worker closes its gates there and ─▶ clients drain ─▶ end
 *            (if openings   begins to drain the clients of the fronts   (cut at the deadline)
 *             leave)        then the sockets are closed
 *
 * Thread rule: the control thread. Private to fronts.c.
 */

#include "accept/gate.h"
#include "app/crew.h"
#include "app/door.h"
#include "base/ids.h"
#include "base/list.h"

#include <stddef.h>

struct departure;
struct inlets;

/* A listening address. The texts are the snapshot's that is in use. */
struct opening {
    struct inlet inlet;
    const struct address *configured;
    const char *owner; /* name of its listener */
    bool http;
};

struct departure_options {
    struct crew *crew;
    struct loop *loop;
    struct door *door;
    struct inlets *inlets;   /* numbers of openings are free when they are closed */
    struct list *departures; /* those under way */
    uint64_t deadline_ms;
    struct ids *numbers; /* of fronts */
};

/* Room for so many. NULL: out of memory. */
struct departure *departure_new(const struct departure_options *o, size_t fronts, size_t openings);

/* It owns them from now on. Clients of the front are told to close from now on. */
void departure_add_front(struct departure *d, struct front *f);
void departure_add_opening(struct departure *d, struct opening *o);

/* Begins; it frees itself at the end, after `left` was called, from a turn of the loop. */
void departure_begin(struct departure *d, void (*left)(void *user), void *user);

/* One that was not begun, or when the crew has ended. Leaves NULL; accepts NULL. */
void departure_free(struct departure **d);

/* Whether its sockets are still open. */
bool departure_has_openings(const struct departure *d);

/* What its link on the list of departures belongs to. */
struct departure *departure_of(struct list *link);

/* Its counters go by one of the numbers. NULL: out of memory. */
struct front *front_new(uint32_t workers, struct ids *numbers);
void front_free(struct front **f, struct ids *numbers); /* leaves NULL; accepts NULL */
/* Closes its sockets. Leaves NULL; accepts NULL. */
void opening_free(struct opening **o, struct door *door);
