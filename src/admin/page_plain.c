/* SPDX-License-Identifier: MIT */
/* The status page of builds without the dashboard (page_none.c): made for each request, without any
 * script. */
#include "admin/look.h"
#include "admin/page.h"
#include "base/limits.h"
#include "base/str.h"

/* A change here changes the hash in the policy: tests/e2e/test_admin.py compares them. */
static const char style[] =
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;"
    "color:#1b1f24;background:#fff}table{border-collapse:collapse;width:100%;margin:.5rem 0 1"
    ".5rem}th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #d0d7de}th{font-"
    "weight:600}.bad{color:#a40e26;font-weight:600}.good{color:#116329}code{font:inherit}@med"
    "ia(prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}th,td{border-color:#"
    "30363d}.bad{color:#ff8182}.good{color:#56d364}a{color:#79c0ff}}";

const char page_plain_policy[] =
    "default-src 'self'; style-src 'sha256-YgYQ3daSvospYChIldg/dEzKczF/bKmgOXA/nRQFlzI='; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

static void escaped(struct text *out, const char *s)
{
    for (; s && *s; s++) {
        switch (*s) {
        case '<': text_str(out, "&lt;"); break;
        case '>': text_str(out, "&gt;"); break;
        case '&': text_str(out, "&amp;"); break;
        case '"': text_str(out, "&quot;"); break;
        case '\'': text_str(out, "&#39;"); break;
        default: text_u8(out, (uint8_t)*s); break;
        }
    }
}

static void cell(struct text *out, const char *s)
{
    text_str(out, "<td>");
    escaped(out, s);
    text_str(out, "</td>");
}

static void number_cell(struct text *out, uint64_t n)
{
    text_str(out, "<td>");
    text_u64(out, n);
    text_str(out, "</td>");
}

static void put_backend(struct text *out, const struct steer_view *view, const struct backend *b)
{
    char address[ADDRESS_TEXT_MAX];
    struct standing standing;
    look_standing(view, b, &standing);
    address_format(&b->conf->address, address);
    text_str(out, "<tr>");
    cell(out, b->conf->name);
    cell(out, address);
    number_cell(out, look_weight(b));
    text_str(out, strcmp(standing.state, "up") == 0 ? "<td class=good>" : "<td class=bad>");
    escaped(out, standing.state);
    text_str(out, "</td>");
    cell(out, standing.has_reason ? reason_sentence(standing.reason) : "");
    number_cell(out, look_in_flight(b));
    text_str(out, "</tr>\n");
}

static void put_pool(struct text *out, const struct steer_view *view, const struct pool *pool)
{
    const struct pool_conf *conf = look_pool_conf(pool);
    struct look_count n = look_count(pool);
    uint32_t shown = 0;
    text_str(out, "<h2>Pool ");
    escaped(out, conf->name);
    text_printf(out,
                "</h2>\n<p>%s, %u of %u backends up, %u waiting</p>\n<table><tr><th>Name<th>Address"
                "<th>Weight<th>State<th>Reason<th>In flight</tr>\n",
                balance_name(conf->balance), n.up, n.total, look_waiting(pool));
    for (uint32_t i = 0; i < look_slots(pool) && shown < ADMIN_TICK_BACKENDS; i++) {
        const struct backend *b = look_backend(pool, i);
        if (!b)
            continue;
        put_backend(out, view, b);
        shown++;
    }
    text_str(out, "</table>\n");
}

static void put_listener(struct text *out, const struct listener_conf *conf,
                         const struct front *front)
{
    char address[ADDRESS_TEXT_MAX];
    text_str(out, "<tr>");
    cell(out, conf->name);
    text_str(out, "<td>");
    for (size_t i = 0; i < conf->address_count; i++) {
        address_format(&conf->addresses[i], address);
        text_str(out, i ? ", " : "");
        escaped(out, address);
    }
    text_str(out, "</td>");
    cell(out, protocol_name(conf->protocol));
    number_cell(out, look_connections(front));
    text_str(out, "</tr>\n");
}

void page_plain_write(struct text *out, const struct steer_view *view, uint64_t wall_ms)
{
    char stamp[64];
    struct writer w = writer_of(stamp, sizeof(stamp));
    w_rfc3339_ms(&w, (int64_t)wall_ms);
    text_str(out, "<!doctype html>\n<html lang=en><meta charset=utf-8>"
                  "<meta name=viewport content=\"width=device-width\">"
                  "<meta http-equiv=refresh content=5><title>Poise</title>\n<style>");
    text_str(out, style);
    text_printf(
        out, "</style>\n<h1>Poise %s</h1>\n<p>%s, %u workers, configuration %llu, at %s</p>\n",
        POISE_VERSION, view->draining ? "<b class=bad>draining</b>" : "<b class=good>serving</b>",
        view->worker_count, (unsigned long long)view->generation, w_cstr(&w));
    text_str(out, "<h2>Listeners</h2>\n<table><tr><th>Name<th>Addresses<th>Protocol"
                  "<th>Connections</tr>\n");
    for (size_t i = 0; i < view->front_count; i++)
        put_listener(out, &view->snapshot->listeners[i], view->fronts[i]);
    text_str(out, "</table>\n");
    for (size_t i = 0; i < view->pool_count; i++)
        put_pool(out, view, view->pools[i]);
    text_str(out,
             "<p>This build has no dashboard. The same as JSON: "
             "<a href=/api/v1/status>status</a>, <a href=/api/v1/pools>pools</a>, "
             "<a href=/api/v1/listeners>listeners</a>, <a href=/api/v1/config>configuration</a>, "
             "<a href=/metrics>metrics</a>.</p></html>\n");
}
