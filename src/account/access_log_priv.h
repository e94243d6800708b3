/* SPDX-License-Identifier: MIT */
#pragma once

/* Inside accounting: the way of a worker's records into the access log. */

#include "account/account.h"

struct logring;

/* A ring for one worker, which is then its producer; NULL when there can be none. */
struct logring *access_log_ring(struct access_log *log);
