/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Input and transcript (h1_play.h), one row a case. Kept apart from the test so that the tables can
 * grow; rows are written Q("bytes", "transcript").
 */

#include "codec/message.h"

struct h1_case {
    int line;
    const char *in;
    size_t in_len;
    const char *expect;
    enum method asked;
    bool asked_upgrade;
};

extern const struct h1_case h1_request_cases[];
extern const size_t h1_request_case_count;
extern const struct h1_case h1_response_cases[];
extern const size_t h1_response_case_count;
