/* SPDX-License-Identifier: MIT */
#include "app/steer_say.h"

#include <stdarg.h>
#include <stdio.h>

void steer_say(struct steer_result *ret, enum steer_code code, const char *field,
               const char *format, ...)
{
    va_list args;
    ret->code = code;
    ret->field = field;
    va_start(args, format);
    (void)vsnprintf(ret->message, sizeof(ret->message), format, args);
    va_end(args);
}
