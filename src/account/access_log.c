/* SPDX-License-Identifier: MIT */
/*
 * The access log owns its writer thread: a slow disk under one log does not hold up the other.
 * Rings hold packed records; the thread unpacks and formats them.
 */
#include "account/access_log_line.h"
#include "account/access_log_priv.h"
#include "account/record_pack.h"
#include "base/check.h"
#include "base/limits.h"
#include "base/logwriter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ACCESS_LOG_MAGIC 0xacce5510u

/* About 4,000 requests of an ordinary size, between two turns of the writer. */
#define ACCESS_RING_BYTES ((size_t)1024 * 1024)

static_assert(RECORD_PACKED_MAX <= ACCESS_RECORD_MAX, "a packed record is no longer than its line");

struct access_log {
    /* set at creation */
    uint32_t magic;
    enum access_log_format format;
    struct logwriter *writer;
    struct logsink *sink;
    /* writer thread */
    struct access_log_second second;
};

static size_t format_line(void *user, struct span packed, char *out, size_t size)
{
    struct access_log *log = user;
    CHECK_OBJ(log, ACCESS_LOG_MAGIC);
    CHECK(size >= ACCESS_RECORD_MAX);
    struct record r;
    record_unpack(packed, &r);
    return access_log_line(out, log->format, &r, &log->second);
}

int access_log_open(const char *path, enum access_log_format format, struct access_log **ret_log,
                    char *ret_why, size_t why_size)
{
    struct access_log *log = calloc(1, sizeof(*log));
    int err = log ? logwriter_new(&log->writer) : -1;
    if (err) {
        (void)snprintf(ret_why, why_size, "cannot start the thread that writes the access log");
        free(log);
        return -(int)REASON_system_error;
    }
    err = logwriter_open(log->writer, path, &log->sink);
    if (err) {
        (void)snprintf(ret_why, why_size, "cannot open the access log %s: %s", path,
                       strerror(-err));
        logwriter_stop(&log->writer);
        free(log);
        return -(int)REASON_system_error;
    }
    log->magic = ACCESS_LOG_MAGIC;
    log->format = format;
    *ret_log = log;
    return 0;
}

void access_log_close(struct access_log **log)
{
    struct access_log *gone = *log;
    if (!gone)
        return;
    CHECK_OBJ(gone, ACCESS_LOG_MAGIC);
    *log = NULL;
    logsink_close(&gone->sink);
    logwriter_stop(&gone->writer);
    gone->magic = 0;
    free(gone);
}

void access_log_reopen(struct access_log *log)
{
    CHECK_OBJ(log, ACCESS_LOG_MAGIC);
    logwriter_reopen(log->writer);
}

struct logring *access_log_ring(struct access_log *log)
{
    CHECK_OBJ(log, ACCESS_LOG_MAGIC);
    return logring_new_formatted(log->sink, ACCESS_RING_BYTES, format_line, log);
}
