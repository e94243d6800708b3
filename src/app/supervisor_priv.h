/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Inside the supervisor: supervisor.c is its life, supervisor_engine.c starts engines and sees them
 * die, doorkeeper.c answers what they ask, upgrade.c exchanges the program, handover.c carries all
 * of this through an exec.
 *
 * An engine's slot:
 *
 *   FREE ─ engine_start ─▶ STARTING ─ READY ─▶ SERVING ─ a successor has taken over ─▶ RETIRED
 *     ▲                        │                  │                                      │
 *     └───────── it has ended ─┴──────────────────┴──────────────────────────────────────┘
 */

#include "app/claims.h"
#include "app/door.h"
#include "app/holdings.h"
#include "app/service.h"
#include "io/channel.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* One serves, one may be on trial, the others drain. */
#define ENGINES_MAX 16

/* So many deaths within so long are too many: from then on a pause before each start. */
#define CRASHES_MAX        5
#define CRASH_WINDOW_MS    60000
#define CRASH_PAUSE_MS     1000
#define CRASH_PAUSE_MS_MAX 30000

/* An engine that says nothing at so many looks in a row hangs. Looks are counted, not time, so that
 * a machine that stood still does not count. */
#define LOOK_MS    5000
#define SILENT_MAX 12

/* What an upgrade writes before it is refused: the head of that is the reason shown. */
#define UPGRADE_OUTPUT_MAX 2048

enum engine_state { ENGINE_FREE, ENGINE_STARTING, ENGINE_SERVING, ENGINE_RETIRED };

struct engine_slot {
    pid_t pid;
    enum engine_state state;
    int questions, news;       /* channels */
    struct claims *runs;       /* what it has been started with, or has accepted */
    struct claims *offered;    /* what it has read since, or NULL */
    uint32_t handover_version; /* that its program understands */
    bool configured;           /* it has read what it runs */
    bool stopping;             /* it has said that it means to end */
    bool closed;               /* its ends of the channels are, so that it is about to end */
    uint64_t started_ms;
    bool alive;      /* it has said so since the last look */
    uint32_t silent; /* looks without that */
};

enum upgrade_state { UPGRADE_NONE, UPGRADE_CHECKING, UPGRADE_STARTING, UPGRADE_PROBATION };

struct upgrade {
    enum upgrade_state state;
    int program; /* the new one, or -1 */
    pid_t check;
    int output; /* of the check, or -1 */
    char text[UPGRADE_OUTPUT_MAX];
    size_t text_len;
    struct claims *claims;
    struct engine_slot *trial;
    uint64_t due_ms; /* the state must be left by then */
};

struct supervisor {
    struct door_origin origin;
    uint32_t workers;
    int program;        /* what runs, to start it again; or -1 */
    char *program_path; /* where an upgrade finds its successor */
    int signals;
    struct claims *claims; /* of the engine that serves */
    struct holdings holdings;
    struct engine_slot engines[ENGINES_MAX];
    struct engine_slot *current; /* or NULL: it has died */
    struct upgrade upgrade;
    struct service service;
    int log_file; /* -1 = standard error */
    uint64_t crashes_ms[CRASHES_MAX];
    uint32_t crash_count, crash_pause_ms;
    uint64_t look_at_ms;    /* at whether the engine is alive */
    uint64_t restart_at_ms; /* 0 = no restart is due */
    bool served;            /* an engine has, once */
    bool announced;
    bool stopping;
    bool ended;
    int code;
};

uint64_t supervisor_now_ms(void);

/* A line of the event log. */
PRINTF(3, 4)
void supervisor_log(struct supervisor *s, enum log_level level, const char *format, ...);
void supervisor_open_log(struct supervisor *s);

/* An engine serves: the first one, one started again, or one on trial. */
void supervisor_on_ready(struct supervisor *s, struct engine_slot *e);

static inline uint32_t engine_slot_index(const struct supervisor *s, const struct engine_slot *e)
{
    return (uint32_t)(e - s->engines);
}

/* ---- supervisor_engine.c ---- */

/* Starts a program as an engine over `claims`. NULL, with a sentence in ret_why, if it cannot. */
struct engine_slot *engine_start(struct supervisor *s, int program, struct claims *claims,
                                 char *ret_why, size_t why_size);

/* Starts a program with these words, its output into `output`. The pid, or -1 with errno. */
pid_t program_start(const struct supervisor *s, int program, const char *const *argv,
                    const int *keep, size_t keep_count, int output);

/* The slot is free again; its process has ended. */
void engine_free_slot(struct supervisor *s, struct engine_slot *e);

/* Tells an engine something unasked. */
void engine_tell(struct engine_slot *e, uint16_t type, int32_t status, const char *why);

/* "signal 9 (Killed)" or "status 1". */
const char *engine_end_text(int wait_status, char out[64]);

/* ---- doorkeeper.c ---- */

/* Answers one question of an engine. False: it has closed its end, or talks nonsense. */
NODISCARD bool doorkeeper_answer(struct supervisor *s, struct engine_slot *e);

/* ---- upgrade.c ---- */

/* 0, or a negative reason with a sentence in ret_why. */
NODISCARD int upgrade_begin(struct supervisor *s, char *ret_why, size_t why_size);
void upgrade_cancel(struct supervisor *s, const char *why);
void upgrade_on_check_output(struct supervisor *s);
void upgrade_on_check_ended(struct supervisor *s, int wait_status);
void upgrade_on_trial_ended(struct supervisor *s, int wait_status);
void upgrade_on_ready(struct supervisor *s);
void upgrade_on_due(struct supervisor *s);

/* ---- handover.c ---- */

/* Becomes that program, which goes on with everything. Returns only if it cannot. */
void handover_exec(struct supervisor *s, int program);
