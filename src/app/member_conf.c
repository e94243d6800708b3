/* SPDX-License-Identifier: MIT */
#include "app/member_conf.h"

#include "app/steer_say.h"

#include <string.h>

/* What a backend asks beyond the syntax; NULL = fine. */
static const char *why_not(const struct address *a)
{
    static const uint8_t any[16] = {0};
    if (a->kind != ADDRESS_UNIX && a->port == 0)
        return "a backend needs a port from 1 to 65535";
    if ((a->kind == ADDRESS_V6 && memcmp(a->ip, any, 16) == 0) ||
        (a->kind == ADDRESS_V4 && memcmp(a->ip, any, 4) == 0))
        return "a backend needs a host, as in 127.0.0.1:8881";
    return NULL;
}

static bool read_address(struct member_conf *m, struct span text, struct steer_result *ret)
{
    const char *why = "it is empty or too long";
    bool read = text.n > 0 && text.n < ADDRESS_TEXT_MAX &&
                address_parse(text, address_keep, m->text, &m->conf.address, &why) == 0;
    if (read)
        why = why_not(&m->conf.address);
    if (!why)
        return true;
    steer_say(ret, STEER_BAD, "address", "'" SPAN_FMT "' is not an address of a backend: %s",
              SPAN_ARG(span_of(text.p, MIN(text.n, (size_t)ADDRESS_TEXT_MAX))), why);
    return false;
}

static bool is_name(struct span text)
{
    for (size_t i = 0; i < text.n; i++)
        if (!ascii_is_alnum(text.p[i]) && (text.p[i] == 0 || !strchr("_.-", text.p[i])))
            return false;
    return text.n <= NAME_MAX_LEN;
}

static bool read_name(struct member_conf *m, struct span text, struct steer_result *ret)
{
    m->conf.name = m->name;
    if (text.n == 0) {
        (void)address_format(&m->conf.address, m->name);
        return true;
    }
    if (!is_name(text)) {
        steer_say(ret, STEER_BAD, "name", "a name has at most %d letters, digits, '_', '.' and '-'",
                  NAME_MAX_LEN);
        return false;
    }
    memcpy(m->name, text.p, text.n);
    m->name[text.n] = '\0';
    return true;
}

bool member_conf_init(struct member_conf *m, const struct steer_backend *b,
                      struct steer_result *ret)
{
    memset(m, 0, sizeof(*m));
    if (b->weight > BACKEND_WEIGHT_MAX) {
        steer_say(ret, STEER_BAD, "weight", "a weight is a number from 0 to %d",
                  BACKEND_WEIGHT_MAX);
        return false;
    }
    m->conf.weight = b->weight;
    m->conf.backup = b->backup;
    return read_address(m, b->address, ret) && read_name(m, b->name, ret);
}
