/* SPDX-License-Identifier: MIT */
#include "admin/metrics.h"

void metrics_write(const struct steer_view *view, const struct rates *rates, struct text *out)
{
    (void)view;
    (void)rates;
    text_str(out, "# HELP poise_build_info Which build this is.\n"
                  "# TYPE poise_build_info gauge\n"
                  "poise_build_info{version=\"" POISE_VERSION "\"} 1\n");
}
