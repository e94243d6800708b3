/* SPDX-License-Identifier: MIT */
#include "forward/answer.h"

#include "codec/h1_write.h"

#include <string.h>

void answer_write(struct writer *w, enum reason why, bool close, bool head_only)
{
    int status = reason_status(why);
    const char *sentence = reason_sentence(why);
    w_span(w, span_str("HTTP/1.1 "));
    w_u64_dec(w, (uint64_t)status);
    w_u8(w, ' ');
    w_str(w, h1_status_phrase(status));
    w_span(w, span_str("\r\nContent-Type: text/plain; charset=utf-8\r\nX-Poise-Reason: "));
    w_str(w, reason_name(why));
    w_span(w, span_str("\r\n"));
    h1_write_content_length(w, strlen(sentence) + 1);
    if (status == 503 || status == 429)
        w_span(w, span_str("Retry-After: 1\r\n"));
    if (close)
        w_span(w, span_str("Connection: close\r\n"));
    h1_write_head_end(w);
    if (!head_only) {
        w_str(w, sentence);
        w_u8(w, '\n');
    }
}
