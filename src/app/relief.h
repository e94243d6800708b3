/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Relief: connections that wait for a worker which does not take them are taken by the others.
 *
 * The kernel puts a new connection into the queue of one worker, whatever that worker is doing
 * (io/listener.h). One that is stalled, by a debugger, a disk or a bug, or that has no room, would
 * leave its clients waiting. So the control loop looks at every worker four times a second: if it
 * took no connection between two looks, and some waited for it at both of them, all others are told
 * to accept in its place too, until it takes one itself. Workers pay one store a connection for it.
 *
 * Thread rule: control thread. Workers outlive it; inlets come and go.
 */

#include "app/worker.h"
#include "base/compiler.h"
#include "io/loop.h"

struct relief;
struct inlets;

/* Begins to look. With a single worker there is nobody to help, and *ret_relief stays NULL. 0, or a
 * negative reason. */
NODISCARD int relief_start(struct loop *loop, struct worker *const *workers, uint32_t worker_count,
                           const struct inlets *inlets, struct relief **ret_relief);

/* Leaves NULL; accepts NULL. What the others were told stays so until they drain. */
void relief_stop(struct relief **r);
