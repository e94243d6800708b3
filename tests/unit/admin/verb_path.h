/* SPDX-License-Identifier: MIT */
#pragma once

/* The path of a verb with `params` in place of its {words}; nothing in them needs an escape. */
#include "admin/verbs.h"

static inline void path_of_verb(struct writer *w, enum admin_verb verb,
                                const struct span params[ADMIN_PARAMS_MAX])
{
    struct span rest = span_cstr(admin_verb_row(verb)->path);
    for (size_t i = 0; rest.n > 0; i++) {
        w_span(w, span_cut(&rest, '{'));
        if (rest.n == 0)
            return;
        assert_true(i < ADMIN_PARAMS_MAX);
        w_span(w, params[i]);
        (void)span_cut(&rest, '}');
    }
}
