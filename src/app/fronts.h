/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The listeners at run time: fronts (forward/front.h), the inlets that lead to them
 * (accept/gate.h), and how both become others while clients are connected.
 *
 *   fronts_prepare ──▶ fronts_commit ──▶ what is no longer there leaves by itself
 *        └─ binds what is new │
 *           fronts_abandon ◀──┘ (something else failed: nothing has changed)
 *
 * A front stays while a listener of its name and protocol is configured, an inlet while its address
 * is, whatever listener has it: clients that wait there belong to who has it then.
 *
 * What leaves: an inlet takes what waits for it during the last call and closes. The clients of a
 * front that is gone drain as at the end of the program, so that no request is lost: the next
 * request of each is answered with "Connection: close", quiet ones are closed after a second, and
 * what is left at the drain deadline is cut.
 *
 * Thread rule: the control thread.
 */

#include "accept/gate.h"
#include "app/crew.h"
#include "app/door.h"
#include "app/generation.h"
#include "base/compiler.h"
#include "config/snapshot.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fronts;
struct fronts_change;

/* The inlets that are open, by number; NULL where there is none. */
struct inlets {
    struct inlet **at;
    uint32_t room;
};

/* None yet. NULL: out of memory. The crew and the door outlive it. */
struct fronts *fronts_new(struct crew *crew, struct loop *loop, struct door *door);

/* Makes what `s` needs and is not there. 0, or a negative reason with a sentence in ret_why: then
 * nothing has changed. */
NODISCARD int fronts_prepare(struct fronts *fs, const struct snapshot *s,
                             struct fronts_change **ret_change, char *ret_why, size_t why_size);

/* Closes what was opened. Leaves NULL; accepts NULL. */
void fronts_abandon(struct fronts *fs, struct fronts_change **change);

/*
 * From now on g is what clients get. Cannot fail: a gate that a worker cannot open is logged, and
 * the other workers take what waits there. `left` is called, perhaps at once, when no front has the
 * generation before any more: those that leave keep it to their end. Leaves NULL.
 */
void fronts_commit(struct fronts *fs, struct fronts_change **change, struct generation *g,
                   void (*left)(void *user), void *user);

/* By listener of the snapshot. */
struct front *const *fronts_list(const struct fronts *fs, size_t *ret_count);

/* The address bound for the index-th address of the snapshot, all listeners in a row; NULL when
 * that is past the end. */
const struct address *fronts_address(const struct fronts *fs, size_t index);

/* How many addresses are listened on. */
size_t fronts_address_count(const struct fronts *fs);

const struct inlets *fronts_inlets(const struct fronts *fs);

/* Whether addresses that left are still being closed: they cannot be bound again yet. */
bool fronts_closing(const struct fronts *fs);

/* No worker accepts any more: closes the sockets, so that new clients are refused at once and a
 * successor may listen. */
void fronts_close(struct fronts *fs);

/* The crew has ended. Leaves NULL; accepts NULL. */
void fronts_free(struct fronts **fs);
