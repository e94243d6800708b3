/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A file of certificates or keys that the configuration names: read whole, told from what it was by
 * a stamp, and wiped from memory when it is done with. Only the supervisor's side of app/door.h
 * opens such files.
 *
 * Thread rule: any thread.
 */

#include "base/compiler.h"
#include "config/snapshot.h"

#include <stddef.h>
#include <stdint.h>

struct tls_file {
    char *bytes;
    size_t n;
    uint64_t stamp; /* of what was read */
};

#define TLS_FILE_WHY_MAX 128

/* Reads it; only a regular file of at most TLS_FILE_BYTES_MAX. 0, or a negative reason with the
 * cause in ret_why ("No such file or directory"). */
NODISCARD int tls_file_read(const char *path, struct tls_file *ret_file,
                            char ret_why[TLS_FILE_WHY_MAX]);

/* Zeroes the bytes before they are freed. */
void tls_file_wipe(struct tls_file *f);

/* Differs when the file was written or replaced; 0 when there is none. */
uint64_t tls_file_stamp(const char *path);

/* One stamp for several. Begin with 0. */
uint64_t tls_file_stamp_add(uint64_t sum, uint64_t stamp);

/* Files that the system may keep its CA certificates in: the first that is there is meant. NULL at
 * the end. As in other programs, SSL_CERT_FILE in the environment stands for another one. */
const char *const *tls_system_files(void);

/* Calls fn for every such file of a configuration; one may come several times. False as soon as fn
 * returns false. */
typedef bool tls_file_fn(void *user, const char *path);
bool tls_files_each(const struct snapshot *s, tls_file_fn *fn, void *user);
