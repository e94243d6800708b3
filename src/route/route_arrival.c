/* SPDX-License-Identifier: MIT */
/* What routes ask of how the client came: TLS, and the certificate that it showed. */
#include "route/route_priv.h"

static bool any_host_is(const char *const *wanted, size_t count, struct span name)
{
    for (size_t i = 0; i < count; i++)
        if (host_is(name, span_cstr(wanted[i])))
            return true;
    return false;
}

static bool any_is(const char *const *wanted, size_t count, struct span text)
{
    for (size_t i = 0; i < count; i++)
        if (span_eq(text, span_cstr(wanted[i])))
            return true;
    return false;
}

/* The domain of an e-mail address has no case, the part before it has. */
static bool mail_is(struct span name, size_t at, struct span wanted)
{
    size_t wanted_at = span_find_last(wanted, '@');
    return wanted_at == at && span_eq(span_sub(name, 0, at), span_sub(wanted, 0, at)) &&
           span_eq_nocase(span_from(name, at), span_from(wanted, at));
}

/* A URI is told by its colon; so is an IPv6 address, which is written in lower case on both sides.
 * Neither has names below it. */
static bool san_is(struct span name, struct span wanted)
{
    size_t at = span_find_last(name, '@');
    if (span_find(name, ':') != SPAN_NOT_FOUND || span_find(name, '/') != SPAN_NOT_FOUND)
        return span_eq(name, wanted);
    return at != SPAN_NOT_FOUND ? mail_is(name, at, wanted) : host_is(name, wanted);
}

static bool san_matches(const struct route_conf *r, const struct client_certificate *c)
{
    for (size_t i = 0; i < c->name_count; i++)
        for (size_t k = 0; k < r->client_san_count; k++)
            if (san_is(c->names[i], span_cstr(r->client_sans[k])))
                return true;
    return false;
}

enum route_condition route_arrival_mismatch(const struct route_conf *r, const struct arrival *a)
{
    static const struct arrival plain;
    if (!a)
        a = &plain;
    const struct client_certificate *c = &a->certificate;
    if (r->sni_count > 0 && !any_host_is(r->snis, r->sni_count, a->sni))
        return ROUTE_SNI;
    if (r->client_subject_count > 0 &&
        !(c->verified && any_is(r->client_subjects, r->client_subject_count, c->subject)))
        return ROUTE_CLIENT_SUBJECT;
    if (r->client_san_count > 0 && !(c->verified && san_matches(r, c)))
        return ROUTE_CLIENT_SAN;
    if (r->client_fingerprint_count > 0 &&
        !(c->verified &&
          any_is(r->client_fingerprints, r->client_fingerprint_count, c->fingerprint)))
        return ROUTE_CLIENT_FINGERPRINT;
    return ROUTE_HOLDS;
}
