/* SPDX-License-Identifier: MIT */
#include "app/announce.h"

#include <stdio.h>

void announce_admin(const struct address *a)
{
    char text[ADDRESS_TEXT_MAX];
    (void)address_format(a, text);
    printf("Admin at http://%s/\n", text);
    (void)fflush(stdout);
}

void announce_address(const struct address *a)
{
    char text[ADDRESS_TEXT_MAX];
    if (a->kind == ADDRESS_V6 && address_is_any(a))
        (void)snprintf(text, sizeof(text), "0.0.0.0:%u", a->port);
    else
        (void)address_format(a, text);
    printf("Load Balancer listening on %s\n", text);
    (void)fflush(stdout);
}
