/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Reasons: one number for every way an exchange, a connection or a probe can end.
 *
 * reason.def holds the facts; this header turns them into an enum and constant-time look-ups.
 * Fallible functions of every layer return 0 or `-(int)reason`. Everything here is constant data:
 * any thread may call anything.
 */

#include <stdbool.h>

enum reason {
#define REASON(name, fault, status, retry, sentence) REASON_##name,
#include "account/reason.def"
#undef REASON
    REASON_COUNT
};

enum reason_fault {
    REASON_FAULT_NONE,
    REASON_FAULT_CLIENT,
    REASON_FAULT_BACKEND,
    REASON_FAULT_US,
    REASON_FAULT_OPERATOR,
};

/* When the request may be repeated on another backend; see reason.def. */
enum reason_retry {
    REASON_RETRY_NO,
    REASON_RETRY_CONNECT,
    REASON_RETRY_RESET,
};

/* The word users see, e.g. "connect_refused". Never NULL. */
const char *reason_name(enum reason r);

/* One plain sentence for people. Never NULL. */
const char *reason_sentence(enum reason r);

/* The HTTP status to answer with, or 0 where no answer is made. */
int reason_status(enum reason r);

enum reason_fault reason_fault(enum reason r);

enum reason_retry reason_retry(enum reason r);

/* Finds a reason by its word; false when there is none (ret_reason untouched). */
bool reason_by_name(const char *name, enum reason *ret_reason);
