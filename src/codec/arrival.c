/* SPDX-License-Identifier: MIT */
#include "codec/arrival.h"

#include <stdlib.h>
#include <string.h>

/* Copies a text to where the block goes on. */
static void move_in(struct span *text, uint8_t **at)
{
    if (text->n > 0)
        memcpy(*at, text->p, text->n);
    text->p = *at;
    *at += text->n;
}

struct arrival *arrival_new(const struct arrival *facts)
{
    const struct client_certificate *c = &facts->certificate;
    size_t texts = facts->version.n + facts->cipher.n + facts->sni.n + facts->alpn.n +
                   c->subject.n + c->common_name.n + c->fingerprint.n;
    for (size_t i = 0; i < c->name_count; i++)
        texts += c->names[i].n;
    size_t names_bytes = c->name_count * sizeof(struct span);
    struct arrival *a = malloc(sizeof(*a) + names_bytes + texts);
    if (!a)
        return NULL;
    *a = *facts;
    struct span *names = (struct span *)(a + 1);
    uint8_t *at = (uint8_t *)(names + c->name_count);
    if (names_bytes > 0)
        memcpy(names, c->names, names_bytes);
    for (size_t i = 0; i < c->name_count; i++)
        move_in(&names[i], &at);
    struct span *each[] = {&a->version,
                           &a->cipher,
                           &a->sni,
                           &a->alpn,
                           &a->certificate.subject,
                           &a->certificate.common_name,
                           &a->certificate.fingerprint};
    for (size_t i = 0; i < ARRAY_LEN(each); i++)
        move_in(each[i], &at);
    a->certificate.names = names;
    struct address *addresses[] = {&a->peer, &a->local};
    for (size_t i = 0; i < ARRAY_LEN(addresses); i++)
        if (addresses[i]->text || addresses[i]->kind == ADDRESS_UNIX)
            addresses[i]->text = "";
    return a;
}
