/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What can be wrong with a text before it is a tree: its bytes, and its syntax.
 *
 * Thread rule: as load.h.
 */

#include "config/diagnose.h"

struct yaml_parser_s;

/* Size, UTF-8, control characters, line ends. Reports the first that is wrong; false then. */
NODISCARD bool tree_text_check(struct span text, struct diagnostics *d);

/* Says in plain words why libyaml stopped. */
void tree_text_complain(const struct yaml_parser_s *parser, struct span text,
                        struct diagnostics *d);

/* The length in bytes of the UTF-8 character at the start of `s`, and its code; 0 if it is none. */
size_t utf8_decode(struct span s, uint32_t *ret_code);

/* Line `number` (from 1) without its end; empty beyond the last. */
struct span text_line(struct span text, uint32_t number);
