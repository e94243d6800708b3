/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Private to health/: one target per backend (backend->health), and what its three concerns share.
 *
 *   health.c   starts and stops, spaces the probes, feeds the verdict       BACKEND_DOWN
 *   passive.c  failures reported by workers, ejection, return               BACKEND_EJECTED
 *   names.c    addresses of backends that have a name                       BACKEND_UNRESOLVED
 *
 * Each concern sets and clears its own state bit and nobody else's, through target_state.
 */

#include "base/limits.h"
#include "base/list.h"
#include "health/health.h"
#include "health/probe.h"
#include "health/verdict.h"

/* The first probe of each backend goes out within this time of the start. */
#define FIRST_PROBE_MS_MAX 200

struct target {
    /* set at creation */
    struct health *health;
    struct backend *backend;

    /* control thread only */
    struct verdict verdict;
    uint64_t since_ms; /* of the last change of the verdict, at first of the start */
    bool changed;      /* there has been a change */
    struct probe probe;
    struct timer due;    /* when the next probe may begin */
    uint64_t started_ms; /* the last one */
    uint64_t started_ns;
    struct health_check last_check;
    struct list waiting; /* for a place among PROBES_MAX */
    struct timer ejected_until;
    struct name *name; /* names.c; NULL: its address is known */
    struct list link;  /* among h->targets */
    bool removed;      /* the backend goes: nothing is probed or decided any more */

    /* shared: written by workers */
    _Atomic uint32_t failures;    /* in the current window */
    _Atomic uint32_t window_ms;   /* when that window began (low bits) */
    _Atomic uint32_t failed_with; /* enum reason of the last failure reported */
    _Atomic bool reported;        /* `report` is on its way */
    struct message report;
};

struct health {
    /* set at creation */
    struct loop *loop;
    health_changed_fn *changed;
    void *user;

    /* control thread only */
    struct rng rng;
    struct list targets;    /* one per backend */
    uint32_t running;       /* probes under way */
    struct list waiting;    /* targets */
    bool starved;           /* our own lack of descriptors has been logged */
    struct tls_worker *tls; /* of this loop */
    struct dialer dialer;   /* of probes */
    struct names *names;    /* names.c; NULL until a backend has a name */
    bool stopped;           /* freed when no report is on its way any more */
};

/* Now, on the control loop. */
uint64_t health_now_ms(const struct health *h);

/* Changes the backend's state and has a new view made if that changed its rotation. */
void target_state(struct target *t, uint32_t set, uint32_t clear);

/* "pool=app backend=B2": how every event line of a backend begins. */
#define TARGET_TEXT_MAX 300
const char *target_text(const struct target *t, char text[TARGET_TEXT_MAX]);

/* Has the target probed in the next turn, if it is and no probe is under way or waiting. */
void target_probe_soon(struct target *t);

/* passive.c */
void passive_init(struct target *t);
void passive_stop(struct target *t);
/* The checks found it down: from now on they decide when it returns, not the ejection's clock. */
void passive_superseded(struct target *t);

/* names.c. Begins to look up the name of a backend that has one; 0 or a negative reason. */
NODISCARD int name_add(struct target *t);
/* Ends that; workers may go on using the address until name_free. Both accept a target without. */
void name_remove(struct target *t);
void name_free(struct target *t);
void names_stop(struct health *h); /* of no target any more */

/* What a lookup of a backend's name found, with count > 0 if `why` is REASON_ok: the name of that
 * backend, and the answer to take in. Apart for tests. */
struct name *name_of(const struct backend *b);
void name_answered(struct name *n, enum reason why, const struct address *addresses, size_t count);

/* Frees a stopped prober unless a report is still on its way to it. */
void health_free_if_quiet(struct health *h);
