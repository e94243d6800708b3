/* SPDX-License-Identifier: MIT */
/*
 * Every change becomes splices of the old text: so many bytes away here, these instead. They are
 * sorted and applied once. What must stay true: no two overlap; of several at one place the order
 * is that in which they were made (a weight behind a last key comes before a new backend).
 */
#include "config/edit.h"

#include "base/check.h"
#include "base/map.h"
#include "config/diagnose.h"
#include "config/edit_scan.h"
#include "config/value.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define EDIT_BYTES_MAX  ((size_t)1 << 30)
#define INSERT_TEXT_MAX (2 * VALUE_TEXT_MAX * 6)

struct splice {
    size_t at, cut;
    struct span text;
    size_t order;
};

struct edit {
    struct span text;
    struct arena arena;
    struct splice *splices;
    size_t count, room;
    char *why;
    size_t why_size;
    /* of the pool at hand */
    const struct pool_conf *pool;
    struct items items;
    bool *removed;    /* by item */
    struct map names; /* its struct backend_conf */
};

PRINTF(2, 3) static bool refuse(struct edit *e, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(e->why, e->why_size, format, args);
    va_end(args);
    return false;
}

static void splice(struct edit *e, size_t at, size_t cut, struct span text)
{
    if (e->count == e->room) {
        e->room = e->room ? 2 * e->room : 64;
        e->splices = config_must(realloc(e->splices, e->room * sizeof(*e->splices)));
    }
    const char *copy = config_must(arena_strdup(&e->arena, text));
    e->splices[e->count] = (struct splice){at, cut, span_of(copy, text.n), e->count};
    e->count++;
}

static struct span piece_text(const struct edit *e, struct piece p)
{
    return span_sub(e->text, p.start, p.end - p.start);
}

/* ---- lines ---- */

static size_t line_start(const struct edit *e, size_t at)
{
    while (at > 0 && e->text.p[at - 1] != '\n')
        at--;
    return at;
}

/* Of the line that `at` is in: its end without and with the line break. */
static size_t line_end(const struct edit *e, size_t at)
{
    while (at < e->text.n && e->text.p[at] != '\n')
        at++;
    return at > 0 && at < e->text.n && e->text.p[at - 1] == '\r' ? at - 1 : at;
}

static size_t line_after(const struct edit *e, size_t at)
{
    while (at < e->text.n && e->text.p[at] != '\n')
        at++;
    return MIN(at + 1, e->text.n);
}

static struct span line_break(const struct edit *e)
{
    size_t at = span_find(e->text, '\n');
    bool two = at != SPAN_NOT_FOUND && at > 0 && e->text.p[at - 1] == '\r';
    return two ? span_str("\r\n") : span_str("\n");
}

static bool is_blank(struct span s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] != ' ' && s.p[i] != '\t')
            return false;
    return true;
}

/* Only white space is before it on its line. */
static bool begins_line(const struct edit *e, size_t at)
{
    size_t start = line_start(e, at);
    return is_blank(span_sub(e->text, start, at - start));
}

/* As many columns as there are before `at` on its line. */
static void put_indent(const struct edit *e, struct writer *w, size_t at)
{
    for (size_t i = line_start(e, at); i < at; i++)
        w_u8(w, e->text.p[i] == '\t' ? '\t' : ' ');
}

/* ---- words ---- */

static bool quotes(const struct edit *e, struct piece p)
{
    return p.end > p.start && e->text.p[p.start] == '"';
}

/* How the items of a list are written. */
static bool json_like(const struct edit *e, const struct item *item)
{
    if (item->kind == ITEM_SCALAR)
        return e->items.flow && quotes(e, item->at);
    return quotes(e, item->first_key);
}

static void put_key(struct writer *w, const char *key, bool json)
{
    w_printf(w, json ? "\"%s\": " : "%s: ", key);
}

/* It needs no quotes, in brackets neither; a name may look like a number. */
static bool is_plain(struct span text)
{
    uint64_t number;
    for (size_t i = 0; i < text.n; i++)
        if (!ascii_is_alnum(text.p[i]) && !strchr("._:/-", text.p[i]))
            return false;
    return text.n > 0 && ascii_is_alnum(text.p[0]) && ascii_is_alnum(text.p[text.n - 1]) &&
           span_find(text, '.') != SPAN_NOT_FOUND && !span_to_u64(text, &number);
}

static void put_quoted(struct writer *w, struct span text)
{
    w_u8(w, '"');
    w_json_escaped(w, text);
    w_u8(w, '"');
}

static void put_text(struct writer *w, struct span text, bool json)
{
    uint64_t number;
    if (!json && is_plain(text))
        w_span(w, text);
    else if ((json || span_to_u64(text, &number)) &&
             span_find_span(text, span_str("${")) == SPAN_NOT_FOUND)
        put_quoted(w, text);
    else
        yaml_quote(w, text);
}

/* The scalar as it stands, made fit for use inside { }. */
static void put_again(struct writer *w, struct span raw)
{
    bool quoted = raw.n > 0 && (raw.p[0] == '"' || raw.p[0] == '\'');
    if (quoted || is_plain(raw))
        w_span(w, raw);
    else
        put_quoted(w, raw);
}

/* ---- a weight ---- */

static bool change_value(struct edit *e, const struct item *item, const struct config_change *c)
{
    struct span old = piece_text(e, item->weight);
    char text[32];
    bool quoted = old.n > 1 && (old.p[0] == '"' || old.p[0] == '\'');
    if (old.n == 0 || span_find_span(old, span_str("${")) != SPAN_NOT_FOUND)
        return refuse(e,
                      "the weight of '%s' in pool '%s' comes from the environment ('" SPAN_FMT
                      "'); change it there",
                      c->backend, c->pool, SPAN_ARG(old));
    struct writer w = writer_of(text, sizeof(text));
    if (quoted)
        w_u8(&w, old.p[0]);
    w_u64_dec(&w, c->weight);
    if (quoted)
        w_u8(&w, old.p[0]);
    splice(e, item->weight.start, old.n, w_span_of_result(&w));
    return true;
}

static bool add_value(struct edit *e, const struct item *item, const struct config_change *c)
{
    char text[INSERT_TEXT_MAX];
    struct writer w = writer_of(text, sizeof(text));
    if (item->kind == ITEM_SCALAR) {
        w_str(&w, "{address: ");
        put_again(&w, piece_text(e, item->at));
        w_printf(&w, ", weight: %u}", c->weight);
        splice(e, item->at.start, item->at.end - item->at.start, w_span_of_result(&w));
        return true;
    }
    bool flow = item->kind == ITEM_FLOW;
    bool line = !flow || begins_line(e, item->last_key.start);
    w_str(&w, flow ? line ? "," : ", " : "");
    if (line) {
        w_span(&w, line_break(e));
        put_indent(e, &w, flow ? item->last_key.start : item->first_key.start);
    }
    put_key(&w, "weight", json_like(e, item));
    w_u64_dec(&w, c->weight);
    size_t at = flow ? item->last_value.end : line_end(e, item->last_value.end);
    splice(e, at, 0, w_span_of_result(&w));
    return true;
}

static bool set_weight(struct edit *e, size_t index, const struct config_change *c)
{
    const struct item *item = &e->items.list[index];
    if (e->pool->backends[index].weight == c->weight)
        return true;
    return item->has_weight ? change_value(e, item, c) : add_value(e, item, c);
}

/* ---- removals ---- */

/* The '-' of a block item, with only white space around it. */
static bool find_dash(const struct edit *e, size_t at, size_t *ret_dash)
{
    while (at > 0 && (is_blank(span_sub(e->text, at - 1, 1)) || e->text.p[at - 1] == '\n' ||
                      e->text.p[at - 1] == '\r'))
        at--;
    *ret_dash = at - 1;
    return at > 0 && e->text.p[at - 1] == '-' && begins_line(e, at - 1);
}

static bool remove_block(struct edit *e, const struct item *item, const char *name)
{
    size_t dash;
    if (!find_dash(e, item->at.start, &dash))
        return refuse(e, "backend '%s' of pool '%s' does not begin with a '-' of its own line",
                      name, e->pool->name);
    size_t start = line_start(e, dash);
    splice(e, start, line_after(e, item->at.end) - start, (struct span){0});
    return true;
}

/* The comma between two places, comments apart, or SPAN_NOT_FOUND. */
static size_t find_comma(const struct edit *e, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        if (e->text.p[i] == ',')
            return i;
        if (e->text.p[i] == '#')
            i = line_end(e, i);
    }
    return SPAN_NOT_FOUND;
}

/* Of a flow item: with the comma behind it, and its line if nothing else is there. */
static bool remove_before(struct edit *e, size_t index)
{
    const struct item *item = &e->items.list[index];
    size_t comma = find_comma(e, item->at.end, item[1].at.start);
    if (comma == SPAN_NOT_FOUND)
        return false;
    size_t start = item->at.start, end = comma + 1;
    bool alone = is_blank(span_sub(e->text, item->at.end, comma - item->at.end));
    if (!alone) { /* a comment is between them: it stays */
        splice(e, start, item->at.end - start, (struct span){0});
        splice(e, comma, 1, (struct span){0});
        return true;
    }
    size_t rest = line_end(e, end);
    if (begins_line(e, start) && is_blank(span_sub(e->text, end, rest - end))) {
        start = line_start(e, start);
        end = line_after(e, end);
    } else {
        while (end < rest && e->text.p[end] == ' ')
            end++;
    }
    splice(e, start, end - start, (struct span){0});
    return true;
}

/* Of a flow item behind the last that stays: with the comma before it. */
static bool remove_behind(struct edit *e, size_t index)
{
    const struct item *item = &e->items.list[index];
    size_t comma = find_comma(e, item[-1].at.end, item->at.start);
    if (comma == SPAN_NOT_FOUND)
        return false;
    size_t end = item->at.end, rest = line_end(e, end);
    if (begins_line(e, item->at.start) && is_blank(span_sub(e->text, end, rest - end))) {
        size_t start = line_start(e, item->at.start);
        splice(e, comma, 1, (struct span){0});
        splice(e, start, line_after(e, end) - start, (struct span){0});
        return true;
    }
    bool near = is_blank(span_sub(e->text, comma + 1, item->at.start - comma - 1));
    splice(e, comma, near ? end - comma : 1, (struct span){0});
    if (!near)
        splice(e, item->at.start, end - item->at.start, (struct span){0});
    return true;
}

/* The last item that stays, or `count`. */
static size_t last_kept(const struct edit *e)
{
    for (size_t i = e->items.count; i > 0; i--)
        if (!e->removed[i - 1])
            return i - 1;
    return e->items.count;
}

static bool remove_all_marked(struct edit *e, size_t keep)
{
    for (size_t i = 0; i < e->items.count; i++) {
        const char *name = e->pool->backends[i].name;
        if (!e->removed[i])
            continue;
        if (!e->items.flow) {
            if (!remove_block(e, &e->items.list[i], name))
                return false;
        } else if (!(i < keep ? remove_before(e, i) : remove_behind(e, i))) {
            return refuse(e, "backend '%s' of pool '%s' cannot be told from its neighbours", name,
                          e->pool->name);
        }
    }
    return true;
}

/* ---- additions ---- */

static bool is_named(const struct config_change *c)
{
    return c->backend[0] && !span_eq(span_cstr(c->backend), c->address);
}

static bool fits_scalar(const struct config_change *c)
{
    return !is_named(c) && c->weight == 1 && !c->backup;
}

static void put_flow(const struct edit *e, struct writer *w, const struct item *like,
                     const struct config_change *c)
{
    bool json = json_like(e, like);
    bool pad = like->kind == ITEM_FLOW && e->text.p[like->at.start + 1] == ' ';
    w_str(w, pad ? "{ " : "{");
    if (is_named(c)) {
        put_key(w, "name", json);
        put_text(w, span_cstr(c->backend), json);
        w_str(w, ", ");
    }
    put_key(w, "address", json);
    put_text(w, c->address, json);
    if (c->weight != 1) {
        w_str(w, ", ");
        put_key(w, "weight", json);
        w_u64_dec(w, c->weight);
    }
    if (c->backup) {
        w_str(w, ", ");
        put_key(w, "backup", json);
        w_str(w, "true");
    }
    w_str(w, pad ? " }" : "}");
}

/* A key on a line of its own, under the first key of `like`. */
static void put_below(const struct edit *e, struct writer *w, const struct item *like,
                      const char *key)
{
    w_span(w, line_break(e));
    put_indent(e, w, like->first_key.start);
    put_key(w, key, json_like(e, like));
}

static void put_block(const struct edit *e, struct writer *w, const struct item *like,
                      const struct config_change *c)
{
    bool json = json_like(e, like);
    if (is_named(c)) {
        put_key(w, "name", json);
        put_text(w, span_cstr(c->backend), json);
        put_below(e, w, like, "address");
    } else {
        put_key(w, "address", json);
    }
    put_text(w, c->address, json);
    if (c->weight != 1) {
        put_below(e, w, like, "weight");
        w_u64_dec(w, c->weight);
    }
    if (c->backup) {
        put_below(e, w, like, "backup");
        w_str(w, "true");
    }
}

static void put_member(const struct edit *e, struct writer *w, const struct item *like,
                       const struct config_change *c)
{
    if (like->kind == ITEM_BLOCK)
        put_block(e, w, like, c);
    else if (like->kind == ITEM_SCALAR && fits_scalar(c))
        put_text(w, c->address, json_like(e, like));
    else
        put_flow(e, w, like, c);
}

/* Behind the last item of a block sequence, removed or not; the dash and the gap behind it are as
 * there. */
static bool add_block(struct edit *e, const struct config_change *c)
{
    char text[INSERT_TEXT_MAX];
    struct writer w = writer_of(text, sizeof(text));
    size_t last = e->items.count - 1, dash;
    const struct item *like = &e->items.list[last];
    if (!find_dash(e, like->at.start, &dash))
        return refuse(e, "the last backend of pool '%s' does not begin with a '-' of its own line",
                      e->pool->name);
    size_t at = line_after(e, like->at.end);
    bool open_end = e->text.p[at - 1] != '\n'; /* the last line has no line break */
    size_t start = line_start(e, dash);
    bool one_line = line_start(e, like->at.start) == start;
    if (open_end && !e->removed[last])
        w_span(&w, line_break(e));
    w_span(&w, span_sub(e->text, start, one_line ? like->at.start - start : dash + 1 - start));
    if (!one_line) {
        w_span(&w, line_break(e));
        put_indent(e, &w, like->at.start);
    }
    put_member(e, &w, like, c);
    if (!open_end)
        w_span(&w, line_break(e));
    splice(e, at, 0, w_span_of_result(&w));
    return w_ok(&w);
}

static bool add_flow(struct edit *e, const struct config_change *c, size_t keep)
{
    char text[INSERT_TEXT_MAX];
    struct writer w = writer_of(text, sizeof(text));
    const struct item *like = &e->items.list[keep];
    bool line = keep > 0 && begins_line(e, like->at.start);
    w_str(&w, line ? "," : ", ");
    if (line) {
        w_span(&w, line_break(e));
        put_indent(e, &w, like->at.start);
    }
    put_member(e, &w, like, c);
    splice(e, like->at.end, 0, w_span_of_result(&w));
    return w_ok(&w);
}

/* ---- one pool ---- */

static size_t find_backend(const struct edit *e, const char *name)
{
    const struct backend_conf *b = map_get(&e->names, span_cstr(name));
    return b ? (size_t)(b - e->pool->backends) : e->pool->backend_count;
}

/* What is to be added is there as it should be. */
static bool is_there(const struct edit *e, const struct config_change *c)
{
    size_t i = find_backend(e, c->backend);
    char text[ADDRESS_TEXT_MAX];
    if (i == e->pool->backend_count || e->removed[i])
        return false;
    const struct backend_conf *b = &e->pool->backends[i];
    return span_eq(c->address, span_of(text, address_format(&b->address, text))) &&
           b->weight == c->weight && b->backup == c->backup;
}

static bool of_this_pool(const struct edit *e, const struct config_change *c,
                         enum config_change_kind kind)
{
    return c->kind == kind && strcmp(c->pool, e->pool->name) == 0;
}

static bool weigh(struct edit *e, const struct config_change *c)
{
    size_t i = find_backend(e, c->backend);
    if (i == e->pool->backend_count)
        return refuse(e, "pool '%s' has no backend '%s' in the file", c->pool, c->backend);
    return set_weight(e, i, c);
}

static bool add(struct edit *e, const struct config_change *c, size_t keep)
{
    if (is_there(e, c))
        return true;
    if (e->items.flow && keep == e->items.count)
        return refuse(e, "every backend of pool '%s' in the file is replaced; write the list anew",
                      e->pool->name);
    if (e->items.flow ? add_flow(e, c, keep) : add_block(e, c))
        return true;
    return e->why[0] ? false : refuse(e, "the words of backend '%s' are too long", c->backend);
}

static bool edit_pool(struct edit *e, const struct config_change *changes, size_t n)
{
    size_t added = 0;
    for (size_t i = 0; i < n; i++)
        if (of_this_pool(e, &changes[i], CONFIG_REMOVE)) {
            size_t at = find_backend(e, changes[i].backend);
            if (at < e->pool->backend_count)
                e->removed[at] = true;
        }
    size_t keep = last_kept(e);
    for (size_t i = 0; i < n; i++) {
        if (of_this_pool(e, &changes[i], CONFIG_WEIGHT) && !weigh(e, &changes[i]))
            return false;
        added += of_this_pool(e, &changes[i], CONFIG_ADD);
    }
    if (keep == e->items.count && added == 0)
        return refuse(e, "pool '%s' would have no backend in the file; remove the pool there",
                      e->pool->name);
    if (!remove_all_marked(e, keep))
        return false;
    for (size_t i = 0; i < n; i++)
        if (of_this_pool(e, &changes[i], CONFIG_ADD) && !add(e, &changes[i], keep))
            return false;
    return true;
}

/* ---- the text ---- */

static int by_place(const void *a, const void *b)
{
    const struct splice *x = a, *y = b;
    if (x->at != y->at)
        return x->at < y->at ? -1 : 1;
    if ((x->cut == 0) != (y->cut == 0)) /* what comes behind a last item, before what goes there */
        return x->cut == 0 ? -1 : 1;
    return x->order < y->order ? -1 : 1;
}

static char *apply(struct edit *e, size_t *ret_len)
{
    size_t bytes = e->text.n, from = 0;
    if (e->count)
        qsort(e->splices, e->count, sizeof(*e->splices), by_place);
    for (size_t i = 0; i < e->count; i++)
        bytes += e->splices[i].text.n;
    char *out = config_must(malloc(bytes + 1));
    struct writer w = writer_of(out, bytes + 1);
    for (size_t i = 0; i < e->count; i++) {
        const struct splice *s = &e->splices[i];
        if (s->at < from) { /* two of them overlap: the check of the result finds what that made */
            from = MAX(from, s->at + s->cut);
            continue;
        }
        w_span(&w, span_sub(e->text, from, s->at - from));
        w_span(&w, s->text);
        from = s->at + s->cut;
    }
    w_span(&w, span_from(e->text, from));
    *ret_len = w_len(&w);
    (void)w_cstr(&w);
    return out;
}

static bool edit_pools(struct edit *e, const struct snapshot *s, const struct config_change *c,
                       size_t n)
{
    for (size_t i = 0; i < s->pool_count; i++) {
        bool concerned = false;
        for (size_t k = 0; k < n; k++)
            concerned |= strcmp(c[k].pool, s->pools[i].name) == 0;
        if (!concerned)
            continue;
        e->pool = &s->pools[i];
        e->removed = config_must(arena_new_array(&e->arena, bool, e->pool->backend_count));
        map_clear(&e->names);
        for (size_t k = 0; k < e->pool->backend_count; k++)
            (void)config_must(
                map_put(&e->names, span_cstr(e->pool->backends[k].name), &e->pool->backends[k]) == 0
                    ? e
                    : NULL);
        if (!edit_scan(e->text, i, &e->arena, &e->items) ||
            e->items.count != e->pool->backend_count)
            return refuse(e, "the backends of pool '%s' are written in a way that cannot be edited",
                          e->pool->name);
        if (!edit_pool(e, c, n))
            return false;
    }
    return true;
}

/* ---- what came of it ---- */

/* Loads a text; NULL with a sentence. */
static const struct snapshot *load(struct edit *e, const char *source, struct span text,
                                   config_env_fn *env, const char *what)
{
    struct diagnostics d;
    const struct snapshot *s = NULL;
    if (config_load(source, text, env, &d, &s) < 0) {
        const struct diagnostic *first = d.count ? &d.items[0] : NULL;
        for (size_t i = 0; i < d.count && first->level != DIAGNOSTIC_ERROR; i++)
            first = &d.items[i];
        (void)refuse(e, "%s%s%s", what, first ? ": " : "", first ? first->message : "");
    }
    diagnostics_fini(&d);
    return s;
}

static bool pools_exist(struct edit *e, const struct snapshot *s, const struct config_change *c,
                        size_t n)
{
    for (size_t i = 0; i < n; i++) {
        bool found = false;
        for (size_t k = 0; k < s->pool_count; k++)
            found |= strcmp(s->pools[k].name, c[i].pool) == 0;
        if (!found)
            return refuse(e, "there is no pool '%s' in the file", c[i].pool);
    }
    return true;
}

static char *edit(struct edit *e, const char *source, config_env_fn *env,
                  const struct config_change *c, size_t n, size_t *ret_len)
{
    const struct snapshot *was = load(e, source, e->text, env, "the file is not valid now");
    const struct snapshot *now = NULL;
    char *out = NULL;
    if (was && pools_exist(e, was, c, n) && edit_pools(e, was, c, n)) {
        out = apply(e, ret_len);
        now = load(e, source, span_of(out, *ret_len), env, "the edited file would not be valid");
        if (now && !edit_says(now, was, c, n))
            (void)refuse(e, "the edited file would not say what was wanted; edit it by hand");
        if (e->why[0]) {
            free(out);
            out = NULL;
        }
    }
    snapshot_unref(&was);
    snapshot_unref(&now);
    return out;
}

/* A byte order mark is no part of what is edited; it stays in front. */
static size_t mark_bytes(struct span text)
{
    return span_starts(text, span_str("\xef\xbb\xbf")) ? 3 : 0;
}

char *config_edit(const char *source, struct span text, config_env_fn *env,
                  const struct config_change *changes, size_t change_count, size_t *ret_len,
                  char *ret_why, size_t why_size)
{
    size_t mark = mark_bytes(text);
    struct edit e = {.text = span_from(text, mark), .why = ret_why, .why_size = why_size};
    ret_why[0] = 0;
    arena_init(&e.arena, 65536, EDIT_BYTES_MAX);
    map_init(&e.names, 0);
    char *out = edit(&e, source, env, changes, change_count, ret_len);
    free(e.splices);
    map_fini(&e.names);
    arena_fini(&e.arena);
    if (!out || mark == 0)
        return out;
    char *marked = config_must(malloc(*ret_len + mark + 1));
    memcpy(marked, text.p, mark);
    memcpy(marked + mark, out, *ret_len + 1);
    *ret_len += mark;
    free(out);
    return marked;
}
