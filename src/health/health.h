/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Health: one prober for the whole process, on the control thread's loop.
 *
 * For each backend of each pool it probes (health.type tcp or http) every interval, spread by
 * jitter, feeds the verdict machine, and on a change sets or clears BACKEND_DOWN, asks for a new
 * view and writes one event-log line:
 *
 *   health  pool=app backend=B2 state=down reason=connect_refused after=3
 *   health  pool=app backend=B2 state=up after=2 down_for=12.3s
 *
 * It also carries out passive ejections reported by workers (never of the last backend in rotation
 * of a pool), and ends them after eject_for, whatever the active checks say meanwhile:
 *
 *   health  pool=app backend=B2 state=ejected reason=passive_failures after=5 last=backend_reset
 * for=10s health  pool=app backend=B2 state=returned health  pool=app backend=B3 state=kept
 * reason=passive_failures after=5 last=… because=last_in_rotation
 *
 * And it keeps names resolved (io/resolver.h); BACKEND_UNRESOLVED until a first address is known:
 *
 *   health  pool=app backend=B4 state=unresolved reason=unresolved name=db.example
 *   health  pool=app backend=B4 state=resolved address=192.0.2.7:5432
 *   health  pool=app backend=B4 state=moved address=192.0.2.8:5432
 *   health  pool=app backend=B4 state=stale reason=unresolved name=db.example
 *
 * Thread rule: the control loop's thread, except health_report which any worker may call.
 */

#include "account/reason.h"
#include "base/rng.h"
#include "io/loop.h"
#include "pick/pool.h"

struct health;

/* Called on the control thread, perhaps from inside a call of health/'s, whenever a pool's rotation
 * changed: rebuild and publish its view. */
typedef void health_changed_fn(void *user, struct pool *pool);

/* Takes all backends of these pools in. Starts probing at once (the first probes of all go out
 * within one interval's jitter, at most 200 ms, so that a dead backend is known soon after start).
 */
NODISCARD int health_start(struct loop *loop, struct pool *const *pools, size_t pool_count,
                           uint64_t seed, health_changed_fn *changed, void *user,
                           struct health **ret_health);

/* Ends all probes and lookups; states stay as they are, but a backend known by name has no address
 * any more. Accepts NULL, leaves NULL. No worker may report to it after this; a report still on its
 * way to the control loop does no harm (it frees what is left). */
void health_stop(struct health **health);

/*
 * Backends that come and go while it runs. A new one begins like those at the start (in rotation,
 * and its first probe decides) and is probed at once. It must be taken in before it is first
 * picked. 0, or a negative reason with nothing taken in.
 */
NODISCARD int health_add(struct health *h, struct backend *b);
NODISCARD int health_add_pool(struct health *h, struct pool *pool);

/* Ends probes, lookups and ejections of a backend that is being removed; reports about it are
 * listened to no more. */
void health_remove(struct health *h, struct backend *b);

/* Before pool_forget, when nobody can report about it any more: frees what is left. False: a report
 * is still on its way to the control loop; try again in a later turn. Accepts a backend that was
 * never taken in, and one that was not health_remove'd. */
NODISCARD bool health_forget(struct health *h, struct backend *b);

/* After pool_reconfigure: its checks go on by the new settings. States are kept, but where there
 * are no checks any more: those backends are up. */
void health_pool_changed(struct health *h, struct pool *pool);

/*
 * A worker tells the outcome of an exchange with a backend: REASON_ok or the backend's fault
 * (passive health). Cheap when all is well: no lock, no message; only the failure that fills the
 * window posts a message to the control loop. now_ms is the worker's loop time.
 */
void health_report(struct health *health, struct backend *b, enum reason result, uint64_t now_ms);

/* The last check that came to a result. */
struct health_check {
    uint64_t at_ms; /* loop time; 0 = there was none */
    uint64_t took_us;
    enum reason result;
    const char *detail; /* what TLS says it was, or NULL; static text */
};

/* How a backend stands, for status pages and tests. */
struct health_status {
    bool up, proven, ejected;
    enum reason last;
    uint64_t since_ms; /* loop time of the last change; 0 = never changed */
    struct health_check check;
};
void health_status(const struct health *health, const struct backend *b,
                   struct health_status *ret_status);
