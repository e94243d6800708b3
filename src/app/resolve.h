/* SPDX-License-Identifier: MIT */
#pragma once

/* Names on the command line of the test tools, before anything else happens on their loop. */

#include "base/address.h"
#include "base/compiler.h"

#include <stddef.h>
#include <stdint.h>

struct loop;

/* A name, IPv4 or IPv6 address (without brackets) to an address, IPv4 before IPv6. Runs the loop
 * until the answer is there. 0, or a negative reason and a plain sentence in ret_why. */
NODISCARD int resolve_host(struct loop *loop, const char *host, uint16_t port,
                           struct address *ret_address, char *ret_why, size_t why_size);
