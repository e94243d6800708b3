/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What single values cannot show: names that must be known or unique, and settings that contradict
 * each other. Also fills in what follows from other settings.
 * Thread rule: as load.h.
 */

#include "config/read.h"

/* After read_config. Resolves the references to pools and reports what does not fit together. Text
 * that ended in a syntax error gets no complaints about what may stand in the unread part. */
void validate_config(struct load *l);
