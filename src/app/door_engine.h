/* SPDX-License-Identifier: MIT */
#pragma once

/* The door of an engine with a supervisor behind it. See app/door.h. */

#include "app/door.h"

/* Takes both channels (app/door_wire.h) and says hello. 0, or a negative reason. */
NODISCARD int door_engine_new(int questions, int news, struct door **ret_door);
