/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A record as one run of bytes: what the worker puts into its ring, and the writer thread reads.
 *
 *   | struct of numbers | lengths | listener route pool backend method target host ... |
 *
 * Those of TLS come behind, with their lengths, where there are any: a plain request pays nothing.
 *
 * For one process and one run: nothing here is a file format. Texts are cut to the lengths below,
 * so that packing cannot fail; the wide ones are those a client chooses.
 */

#include "account/record.h"
#include "base/bytes.h"
#include "base/limits.h"

#include <stdbool.h>
#include <stddef.h>

#define RECORD_NAME_MAX    ADDRESS_TEXT_MAX /* listener, route, pool, backend */
#define RECORD_METHOD_MAX  HTTP_METHOD_MAX
#define RECORD_TARGET_MAX  URI_MAX
#define RECORD_HOST_MAX    HTTP_HOST_MAX
#define RECORD_TEXT_MAX    1024 /* user agent, referer */
#define RECORD_ID_MAX      128
#define RECORD_TLS_MAX     64 /* version, cipher */
#define RECORD_SUBJECT_MAX 512

#define RECORD_TEXTS     10
#define RECORD_TLS_TEXTS 4 /* behind them, where there are any */

#define RECORD_PACKED_MAX                                                                      \
    (256 + 4 * RECORD_NAME_MAX + RECORD_METHOD_MAX + RECORD_TARGET_MAX + 2 * RECORD_HOST_MAX + \
     2 * RECORD_TEXT_MAX + RECORD_ID_MAX + 2 * RECORD_TLS_MAX + RECORD_SUBJECT_MAX)

/* How long it will be: at most RECORD_PACKED_MAX. */
size_t record_packed_bytes(const struct record *r);

/* Writes `r` to `out`, which has room for that many bytes. */
void record_pack(const struct record *r, uint8_t *out);

/* Fills *ret_record; its texts point into `packed`. What record_pack wrote is CHECKed, not doubted.
 */
void record_unpack(struct span packed, struct record *ret_record);
