/* SPDX-License-Identifier: MIT */
#pragma once

/* Private to control.c (whom to ask) and control_call.c (asking). */

#include "app/control.h"
#include "base/address.h"
#include "io/loop.h"

#define CONTROL_TOKEN_MAX 1100

struct control {
    struct loop *loop;
    struct address address;
    char kept[ADDRESS_TEXT_MAX];  /* the path or name in it */
    char place[ADDRESS_TEXT_MAX]; /* as people write it */
    char token[CONTROL_TOKEN_MAX];
};
