/* SPDX-License-Identifier: MIT */
#include "route/rules.h"

#include "codec/arrival.h"

#define HTTPS_PORT 443

static const struct span acme_folder = SPAN_INIT("/.well-known/acme-challenge/");

static bool asks_clients(const struct listener_conf *l)
{
    return l->tls.enabled && l->tls.client_auth != CLIENT_AUTH_NONE;
}

bool rules_any(const struct listener_conf *l)
{
    return l->protocol == PROTOCOL_HTTP &&
           (l->acme_challenge || l->redirect_port != 0 || asks_clients(l));
}

static bool is_token_byte(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

bool rules_is_token(struct span text)
{
    for (size_t i = 0; i < text.n; i++)
        if (!is_token_byte(text.p[i]))
            return false;
    return text.n > 0 && text.n <= ACME_TOKEN_MAX;
}

struct span rules_token(struct span path)
{
    struct span token = span_from(path, MIN(acme_folder.n, path.n));
    bool is_one = span_starts(path, acme_folder) && rules_is_token(token);
    return is_one ? token : span_of(NULL, 0);
}

static enum reason answer_challenge(const struct head *h)
{
    bool reads = h->method == METHOD_GET || h->method == METHOD_HEAD;
    return reads && rules_token(head_path(h)).n > 0 ? REASON_acme_challenge : REASON_acme_unknown;
}

static bool is_ip(struct span host)
{
    struct address_block one;
    const char *why;
    if (host.n > 2 && host.p[0] == '[')
        host = span_sub(host, 1, host.n - 2);
    return address_block_parse(host, &one, &why) == 0;
}

static bool is_misdirected(const struct head *h, const struct arrival *a)
{
    struct span host = head_span(h, h->host);
    struct span sni = a ? a->sni : span_of(NULL, 0);
    if (host.n > 1 && host.p[host.n - 1] == '.')
        host.n--;
    if (sni.n > 1 && sni.p[sni.n - 1] == '.')
        sni.n--;
    return !span_eq_nocase(host, sni) && !(sni.n == 0 && is_ip(host));
}

enum reason rules_answer(const struct listener_conf *l, const struct head *h,
                         const struct arrival *a)
{
    if (l->acme_challenge && span_starts(head_path(h), acme_folder))
        return answer_challenge(h);
    if (l->redirect_port != 0)
        return h->host.len > 0 ? REASON_redirected : REASON_missing_host;
    return asks_clients(l) && is_misdirected(h, a) ? REASON_misdirected : REASON_ok;
}

void rules_location(const struct listener_conf *l, const struct head *h, struct writer *w)
{
    w_str(w, "https://");
    w_span(w, head_span(h, h->host));
    if (l->redirect_port != HTTPS_PORT) {
        w_u8(w, ':');
        w_u64_dec(w, l->redirect_port);
    }
    if (head_path(h).p[0] != '*') /* OPTIONS asks about the whole server */
        w_span(w, head_path(h));
    if (h->has_query) {
        w_u8(w, '?');
        w_span(w, head_span(h, h->query));
    }
}
