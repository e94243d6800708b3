/* SPDX-License-Identifier: MIT */
/* Edits of membership in many styles of writing: the exact text that must come out, what is
 * refused, and random files with random edits in which nothing else may move. */
#include "config/edit.h"

#include "base/rng.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdlib.h>

#define HEAD "listeners: [{name: web, listen: ':80', pool: app}]\npools:\n"

static const char *env(const char *name)
{
    return strcmp(name, "WEIGHT") == 0 ? "3" : strcmp(name, "ADDR") == 0 ? "127.0.0.1:9" : NULL;
}

static struct config_change add(const char *name, const char *address)
{
    return (struct config_change){CONFIG_ADD,         "app", name ? name : address,
                                  span_cstr(address), 1,     false};
}

static struct config_change drop(const char *name)
{
    return (struct config_change){CONFIG_REMOVE, "app", name, {0}, 0, false};
}

static struct config_change weigh(const char *name, uint32_t weight)
{
    return (struct config_change){CONFIG_WEIGHT, "app", name, {0}, weight, false};
}

static void becomes(const char *before, const char *after, const struct config_change *c, size_t n)
{
    char why[512];
    size_t len;
    char *out = config_edit("t.yaml", span_cstr(before), env, c, n, &len, why, sizeof(why));
    if (!out)
        fail_msg("refused: %s in\n%s", why, before);
    assert_int_equal(len, strlen(out));
    assert_string_equal(out, after);
    free(out);
}

static void one(const char *before, const char *after, struct config_change c)
{
    becomes(before, after, &c, 1);
}

/* ---- block style ---- */

#define BLOCK                      \
    HEAD "  - name: app\n"         \
         "    # the web servers\n" \
         "    backends:  # all of them\n"

static void test_block(void **state)
{
    (void)state;
    static const char lines[] = BLOCK "      - name: B1   # first\n"
                                      "        address: 127.0.0.1:1  # here\n"
                                      "      # before the second\n"
                                      "      -   address: '127.0.0.1:2'\n"
                                      "          name: \"B2\"\n"
                                      "          weight: 5 # five\n"
                                      "    # the end\n"
                                      "workers: 2\n";
    one(lines,
        BLOCK "      - name: B1   # first\n"
              "        address: 127.0.0.1:1  # here\n"
              "        weight: 7\n"
              "      # before the second\n"
              "      -   address: '127.0.0.1:2'\n"
              "          name: \"B2\"\n"
              "          weight: 5 # five\n"
              "    # the end\n"
              "workers: 2\n",
        weigh("B1", 7));
    struct config_change many[] = {weigh("B2", 6), drop("B1"), add("B3", "[::1]:3")};
    many[2].weight = 4;
    many[2].backup = true;
    becomes(lines,
            BLOCK "      # before the second\n"
                  "      -   address: '127.0.0.1:2'\n"
                  "          name: \"B2\"\n"
                  "          weight: 6 # five\n"
                  "      -   name: B3\n"
                  "          address: \"[::1]:3\"\n"
                  "          weight: 4\n"
                  "          backup: true\n"
                  "    # the end\n"
                  "workers: 2\n",
            many, 3);
    struct config_change all[] = {drop("B1"), drop("B2"), add("B9", "127.0.0.1:9")};
    becomes(lines,
            BLOCK "      # before the second\n"
                  "      -   name: B9\n"
                  "          address: 127.0.0.1:9\n"
                  "    # the end\n"
                  "workers: 2\n",
            all, 3);
}

static void test_block_of_flow(void **state)
{
    (void)state;
    static const char lines[] = BLOCK "    - { name: B1, address: 127.0.0.1:1 } # one\n"
                                      "    - 127.0.0.1:2 # two\n"
                                      "    - \"${ADDR}\"";
    struct config_change many[] = {weigh("B1", 2), weigh("127.0.0.1:2", 3), weigh("127.0.0.1:9", 4),
                                   add(NULL, "127.0.0.1:4"), add("B5", "unix:/a,b")};
    becomes(lines,
            BLOCK "    - { name: B1, address: 127.0.0.1:1, weight: 2 } # one\n"
                  "    - {address: 127.0.0.1:2, weight: 3} # two\n"
                  "    - {address: \"${ADDR}\", weight: 4}\n"
                  "    - 127.0.0.1:4\n"
                  "    - {name: B5, address: \"unix:/a,b\"}",
            many, 5);
    struct config_change replaced[] = {drop("127.0.0.1:9"), add("B5", "127.0.0.1:5")};
    becomes(lines,
            BLOCK "    - { name: B1, address: 127.0.0.1:1 } # one\n"
                  "    - 127.0.0.1:2 # two\n"
                  "    - {name: B5, address: 127.0.0.1:5}",
            replaced, 2);
}

static void test_dash_alone(void **state)
{
    (void)state;
    one(BLOCK "      -\n        address: 127.0.0.1:1\n      -\n        address: 127.0.0.1:2\n",
        BLOCK "      -\n        address: 127.0.0.1:1\n", drop("127.0.0.1:2"));
    one(BLOCK "      -\n        address: 127.0.0.1:1\n",
        BLOCK "      -\n        address: 127.0.0.1:1\n      -\n        name: B2\n        "
              "address: 127.0.0.1:2\n",
        add("B2", "127.0.0.1:2"));
}

/* ---- flow style ---- */

#define FLOW(list) HEAD "  - {name: app, backends: [" list "], balance: p2c}\n"

#define ONE   "{name: B1, address: '127.0.0.1:1'}"
#define TWO   "{address: '127.0.0.1:2', weight: \"2\"}"
#define THREE "'127.0.0.1:3'"

static void test_flow(void **state)
{
    (void)state;
    static const char three[] = FLOW(ONE ", " TWO " , " THREE);
    one(three, FLOW(TWO " , " THREE), drop("B1"));
    one(three, FLOW(ONE ", " THREE), drop("127.0.0.1:2"));
    one(three, FLOW(ONE ", " TWO " "), drop("127.0.0.1:3"));
    one(three, FLOW(ONE ", {address: '127.0.0.1:2', weight: \"9\"} , " THREE),
        weigh("127.0.0.1:2", 9));
    one(three, FLOW(ONE ", " TWO " , {address: " THREE ", weight: 0}"), weigh("127.0.0.1:3", 0));
    one(three, FLOW(ONE ", " TWO " , " THREE ", {name: B4, address: 127.0.0.1:4}"),
        add("B4", "127.0.0.1:4"));
    struct config_change tail[] = {drop("127.0.0.1:2"), drop("127.0.0.1:3"),
                                   add(NULL, "127.0.0.1:4")};
    becomes(three, FLOW(ONE ", {address: 127.0.0.1:4} "), tail, 3);
}

static void test_flow_over_lines(void **state)
{
    (void)state;
    static const char lines[] = HEAD "  - name: app\n"
                                     "    backends: [\n"
                                     "      {name: B1, address: 127.0.0.1:1}, # one, of two\n"
                                     "      {name: B2, address: 127.0.0.1:2}, # two\n"
                                     "    ]\n";
    one(lines,
        HEAD "  - name: app\n"
             "    backends: [\n"
             "      {name: B1, address: 127.0.0.1:1}, # one, of two\n"
             "      {name: B2, address: 127.0.0.1:2},\n"
             "      {name: B3, address: 127.0.0.1:3}, # two\n"
             "    ]\n",
        add("B3", "127.0.0.1:3"));
    one(HEAD "  - name: app\n"
             "    backends: [\n"
             "      127.0.0.1:1,\n"
             "      127.0.0.1:2,\n"
             "      127.0.0.1:3\n"
             "    ]\n",
        HEAD "  - name: app\n"
             "    backends: [\n"
             "      127.0.0.1:1,\n"
             "      127.0.0.1:3\n"
             "    ]\n",
        drop("127.0.0.1:2"));
    one(HEAD "  - name: app\n"
             "    backends: [\n"
             "      127.0.0.1:1,\n"
             "      127.0.0.1:2\n"
             "    ]\n",
        HEAD "  - name: app\n"
             "    backends: [\n"
             "      127.0.0.1:1\n"
             "    ]\n",
        drop("127.0.0.1:2"));
}

static void test_json(void **state)
{
    (void)state;
    static const char text[] =
        "{\"listeners\": [{\"name\": \"web\", \"listen\": \":80\", \"pool\": \"app\"}],\n"
        " \"pools\": [{\"name\": \"app\", \"backends\": [\n"
        "    {\n"
        "      \"name\": \"B1\",\n"
        "      \"address\": \"127.0.0.1:1\"\n"
        "    },\n"
        "    {\"name\": \"B2\", \"address\": \"127.0.0.1:2\"}\n"
        " ]}]}\n";
    struct config_change many[] = {weigh("B1", 2), weigh("B2", 3), add("7", "127.0.0.1:3")};
    becomes(text,
            "{\"listeners\": [{\"name\": \"web\", \"listen\": \":80\", \"pool\": \"app\"}],\n"
            " \"pools\": [{\"name\": \"app\", \"backends\": [\n"
            "    {\n"
            "      \"name\": \"B1\",\n"
            "      \"address\": \"127.0.0.1:1\",\n"
            "      \"weight\": 2\n"
            "    },\n"
            "    {\"name\": \"B2\", \"address\": \"127.0.0.1:2\", \"weight\": 3},\n"
            "    {\"name\": \"7\", \"address\": \"127.0.0.1:3\"}\n"
            " ]}]}\n",
            many, 3);
}

static void test_bytes(void **state)
{
    (void)state;
    one("\xef\xbb\xbf# \xc3\xa4\xe2\x82\xac\r\n" HEAD "  - name: app # \xf0\x9f\x98\x80\r\n"
        "    backends:\r\n"
        "    - address: 127.0.0.1:1\r\n",
        "\xef\xbb\xbf# \xc3\xa4\xe2\x82\xac\r\n" HEAD "  - name: app # \xf0\x9f\x98\x80\r\n"
        "    backends:\r\n"
        "    - address: 127.0.0.1:1\r\n"
        "      weight: 2\r\n",
        weigh("127.0.0.1:1", 2));
}

/* What is so already, and other pools, stay as they are. */
static void test_nothing_to_do(void **state)
{
    (void)state;
    static const char text[] = FLOW("{name: B1, address: 127.0.0.1:1}, 127.0.0.1:2");
    struct config_change c[] = {add("B1", "127.0.0.1:1"), weigh("127.0.0.1:2", 1), drop("B9")};
    becomes(text, text, c, 3);
    becomes(text, text, NULL, 0);
}

static void test_refused(void **state)
{
    static const struct {
        const char *text, *says;
        struct config_change change;
    } cases[] = {
        {FLOW("{address: '127.0.0.1:1', weight: \"${WEIGHT}\"}"),
         "comes from the environment",
         {CONFIG_WEIGHT, "app", "127.0.0.1:1", {0}, 5, false}},
        {FLOW("'127.0.0.1:1'"),
         "would have no backend",
         {CONFIG_REMOVE, "app", "127.0.0.1:1", {0}, 0, false}},
        {FLOW("'127.0.0.1:1'"),
         "no pool 'ap'",
         {CONFIG_REMOVE, "ap", "127.0.0.1:1", {0}, 0, false}},
        {FLOW("'127.0.0.1:1'"), "no backend 'B9'", {CONFIG_WEIGHT, "app", "B9", {0}, 2, false}},
        {"listeners: 5\n", "not valid now", {CONFIG_REMOVE, "app", "127.0.0.1:1", {0}, 0, false}},
        {FLOW("{name: B1, address: '127.0.0.1:1'}"),
         "would not be valid",
         {CONFIG_ADD, "app", "B1", SPAN_INIT("127.0.0.1:2"), 1, false}},
        {FLOW("'127.0.0.1:1'"),
         "would not be valid",
         {CONFIG_ADD, "app", "B2", SPAN_INIT("x"), 1, false}},
        {FLOW("'127.0.0.1:1'"),
         "would not be valid",
         {CONFIG_WEIGHT, "app", "127.0.0.1:1", {0}, 100000, false}},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char why[512];
        size_t len;
        assert_null(config_edit("t.yaml", span_cstr(cases[i].text), env, &cases[i].change, 1, &len,
                                why, sizeof(why)));
        if (!strstr(why, cases[i].says))
            fail_msg("'%s' is not in '%s'", cases[i].says, why);
    }
}

/* ---- any file ---- */

#define MEMBERS_MAX 6

/* A random file; a line that begins with "#=" is about nobody and must survive. */
static void put_pool(FILE *out, struct rng *rng, const char *name, uint32_t members, bool crlf)
{
    const char *eol = crlf ? "\r\n" : "\n";
    unsigned dash = (unsigned)rng_below(rng, 4), gap = 1 + (unsigned)rng_below(rng, 3);
    bool flow = rng_below(rng, 3) == 0, lines = rng_below(rng, 2);
    bool json = flow && rng_below(rng, 3) == 0;
    const char *q = json ? "\"" : "";
    fprintf(out, "  - name: %s%s    #= pool%s    backends:%s%s", name, eol, eol, flow ? " [" : "",
            flow && !lines ? "" : eol);
    for (uint32_t i = 0; i < members; i++) {
        const char *end = !flow ? eol : i + 1 == members ? "" : lines ? "," : ", ";
        const char *line = flow && lines ? eol : "";
        bool block = !flow && rng_below(rng, 2);
        unsigned address = 1 + i;
        if (!flow && rng_below(rng, 3) == 0)
            fprintf(out, "    #= %s %u, {[\xc3\xa4%s", name, i, eol);
        if (flow && lines)
            fprintf(out, "      ");
        if (!flow)
            fprintf(out, "    %*s-%*s", (int)dash, "", (int)gap, "");
        if (block)
            fprintf(out, "name: B%u # B%u%s%*saddress: '127.0.0.1:%u'%s", i, i, eol,
                    (int)(5 + dash + gap), "", address, eol);
        else
            fprintf(out, "{%sname%s: %sB%u%s, %saddress%s: \"127.0.0.1:%u\"%s}%s%s", q, q, q, i, q,
                    q, q, address, rng_below(rng, 2) && !json ? ", weight: 2" : "", end, line);
    }
    fprintf(out, "%s    #= end%s", flow ? lines ? "    ]\n" : "]\n" : "", eol);
}

static char *random_file(struct rng *rng, uint32_t members[2], bool crlf)
{
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    assert_non_null(out);
    fprintf(out, "#= first\nlisteners: [{name: web, listen: ':80', pool: app}]\npools:\n");
    put_pool(out, rng, "app", members[0], crlf);
    put_pool(out, rng, "other", members[1], crlf);
    fprintf(out, "#= last");
    assert_int_equal(fclose(out), 0);
    return text;
}

/* Every line of `a` that is not about the backends in `changed` is in `b`, in order. */
static void expect_kept(const char *a, const char *b, const bool changed[MEMBERS_MAX])
{
    bool ours = false;
    for (struct span rest = span_cstr(a), there = span_cstr(b); rest.n > 0;) {
        struct span line = span_cut(&rest, '\n');
        bool about = false;
        if (span_find_span(line, span_str("- name: ")) == 2)
            ours = span_find_span(line, span_str("app")) != SPAN_NOT_FOUND;
        for (unsigned i = 0; ours && i < MEMBERS_MAX; i++) {
            char name[8], address[32];
            snprintf(name, sizeof(name), "B%u", i);
            snprintf(address, sizeof(address), "0.0.1:%u", i + 1);
            about |= changed[i] && (span_find_span(line, span_cstr(name)) != SPAN_NOT_FOUND ||
                                    span_find_span(line, span_cstr(address)) != SPAN_NOT_FOUND);
        }
        /* the neighbours of what changed in a list in brackets gain or lose a comma */
        if (about || (ours && span_find(line, '{') != SPAN_NOT_FOUND && line.n && line.p[4] != '#'))
            continue;
        size_t at = span_find_span(there, line);
        if (at == SPAN_NOT_FOUND)
            fail_msg("lost: " SPAN_FMT "\nof\n%s\nin\n%s", SPAN_ARG(line), a, b);
        there = span_from(there, at + line.n);
    }
}

static void test_random(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 4000; seed++) {
        struct rng rng = rng_seed(seed);
        uint32_t members[2] = {2 + (uint32_t)rng_below(&rng, MEMBERS_MAX - 2), 1};
        char *text = random_file(&rng, members, rng_below(&rng, 4) == 0);
        struct config_change changes[MEMBERS_MAX + 2];
        static const char *const names[] = {"B0", "B1", "B2", "B3", "B4", "B5"};
        bool changed[MEMBERS_MAX] = {false};
        size_t n = 0;
        for (uint32_t i = 0; i < members[0]; i++) {
            uint64_t what = rng_below(&rng, 4);
            changed[i] = what < 2;
            if (what == 0 && i > 0)
                changes[n++] = drop(names[i]);
            else if (what <= 1)
                changes[n++] = weigh(names[i], (uint32_t)rng_below(&rng, 9));
        }
        for (uint64_t i = rng_below(&rng, 3); i > 0; i--)
            changes[n++] = add(i == 1 ? "N1" : "N2", i == 1 ? "127.0.0.1:1001" : "127.0.0.1:1002");
        char why[512];
        size_t len;
        char *out = config_edit("t.yaml", span_cstr(text), env, changes, n, &len, why, sizeof(why));
        if (!out)
            fail_msg("seed %u: %s\n%s", (unsigned)seed, why, text);
        expect_kept(text, out, changed);
        free(out);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_block),           cmocka_unit_test(test_block_of_flow),
        cmocka_unit_test(test_dash_alone),      cmocka_unit_test(test_flow),
        cmocka_unit_test(test_flow_over_lines), cmocka_unit_test(test_json),
        cmocka_unit_test(test_bytes),           cmocka_unit_test(test_nothing_to_do),
        cmocka_unit_test(test_refused),         cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
