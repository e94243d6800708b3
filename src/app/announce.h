/* SPDX-License-Identifier: MIT */
#pragma once

/* One line on standard output for each address we listen on: what a person wants to see, and what
 * scripts wait for. The main thread. */

#include "base/address.h"

void announce_address(const struct address *a);

/* The same of the admin server's address. */
void announce_admin(const struct address *a);
