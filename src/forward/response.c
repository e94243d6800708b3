/* SPDX-License-Identifier: MIT */
#include "forward/response.h"

#include "codec/h1_write.h"

void response_write(struct writer *w, const struct head *h, const struct response_form *form)
{
    bool interim = h->status < 200 && h->status != 101;
    h1_write_status_line(w, h);
    h1_write_fields(w, h, 0);
    if (UNLIKELY(form->hsts.n > 0))
        h1_write_field(w, span_str("Strict-Transport-Security"), form->hsts);
    if (h->framing == BODY_TUNNEL) {
        unsigned at = 0;
        const struct field *upgrade = head_find(h, FIELD_UPGRADE, &at);
        w_span(w, span_str("Connection: upgrade\r\n"));
        if (upgrade)
            h1_write_field(w, span_str("Upgrade"), field_value(h, upgrade));
    } else if (!interim) {
        if (form->chunked)
            w_span(w, span_str("Transfer-Encoding: chunked\r\n"));
        if (!form->keep_alive)
            w_span(w, span_str("Connection: close\r\n"));
        else if (form->http10)
            w_span(w, span_str("Connection: keep-alive\r\n"));
    }
    h1_write_head_end(w);
}
