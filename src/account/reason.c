/* SPDX-License-Identifier: MIT */
#include "account/reason.h"

#include "base/check.h"

#include <string.h>

struct reason_row {
    const char *name;
    const char *sentence;
    short status;
    unsigned char fault;
    unsigned char retry;
};

static const struct reason_row rows[REASON_COUNT] = {
#define REASON(name, fault, status, retry, sentence) \
    [REASON_##name] = {#name, sentence, status, REASON_FAULT_##fault, REASON_RETRY_##retry},
#include "account/reason.def"
#undef REASON
};

static const struct reason_row *row(enum reason r)
{
    CHECK((unsigned)r < REASON_COUNT);
    return &rows[r];
}

const char *reason_name(enum reason r)
{
    return row(r)->name;
}

const char *reason_sentence(enum reason r)
{
    return row(r)->sentence;
}

int reason_status(enum reason r)
{
    return row(r)->status;
}

enum reason_fault reason_fault(enum reason r)
{
    return (enum reason_fault)row(r)->fault;
}

enum reason_retry reason_retry(enum reason r)
{
    return (enum reason_retry)row(r)->retry;
}

bool reason_by_name(const char *name, enum reason *ret_reason)
{
    for (unsigned i = 0; i < REASON_COUNT; i++) {
        if (strcmp(rows[i].name, name) == 0) {
            *ret_reason = (enum reason)i;
            return true;
        }
    }
    return false;
}
