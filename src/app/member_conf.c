/* SPDX-License-Identifier: MIT */
#include "app/member_conf.h"

#include "app/steer_say.h"
#include "config/load.h"

#include <string.h>

static bool read_address(struct member_conf *m, struct span text, struct steer_result *ret)
{
    const char *why = "it is empty or too long";
    bool read = text.n > 0 && text.n < ADDRESS_TEXT_MAX &&
                address_parse(text, address_keep, m->text, &m->conf.address, &why) == 0;
    if (read)
        why = config_backend_address(&m->conf.address);
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
