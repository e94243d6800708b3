/* SPDX-License-Identifier: MIT */
#include "app/manual.h"

#include "app/verb.h"
#include "base/bytes.h"

#include <string.h>

/* ---- the manual page ---- */

/* A dot or an apostrophe at the beginning of a line, a backslash and a dash mean something to
 * troff. */
static void put_troff(FILE *out, const char *text)
{
    bool begins = true;
    for (const char *p = text; *p; p++) {
        if (begins && (*p == '.' || *p == '\''))
            fputs("\\&", out);
        if (*p == '\\' || *p == '-')
            fputc('\\', out);
        fputc(*p, out);
        begins = *p == '\n';
    }
}

static void put_option(FILE *out, const struct option_row *o)
{
    fputs(".TP\n", out);
    if (o->letter)
        fprintf(out, "\\fB\\-%c\\fR, ", o->letter);
    fputs("\\fB\\-\\-", out);
    put_troff(out, o->name);
    fputs("\\fR", out);
    if (o->argument[0]) {
        fputs(" \\fI", out);
        put_troff(out, o->argument);
        fputs("\\fR", out);
    }
    if (o->type == OPTION_TEXTS)
        fputs(" ...", out);
    fputc('\n', out);
    put_troff(out, o->help);
    fputc('\n', out);
}

static void put_verb(FILE *out, enum verb_id id)
{
    const struct verb_row *v = &verb_rows[id];
    fprintf(out, ".SS %s\n", v->name);
    put_troff(out, v->summary);
    fputs(".\n", out);
    struct span rest = span_cstr(v->usage);
    while (!span_empty(rest)) {
        char form[256];
        if (!span_to_cstr(span_cut(&rest, '\n'), form, sizeof(form)))
            form[0] = '\0';
        fprintf(out, ".PP\n\\fBpoise %s\\fR ", v->name);
        put_troff(out, form);
        fputc('\n', out);
    }
    for (int i = 0; i < OPTION_COUNT; i++) {
        if (option_rows[i].verb == id)
            put_option(out, &option_rows[i]);
    }
    if (v->notes[0]) {
        fputs(".PP\n.nf\n", out);
        put_troff(out, v->notes);
        fputs("\n.fi\n", out);
    }
}

void manual_page(FILE *out)
{
    fputs(".TH POISE 1 \"\" \"poise " POISE_VERSION "\" \"User Commands\"\n"
          ".SH NAME\npoise \\- a load balancer for TCP and HTTP\n"
          ".SH SYNOPSIS\n\\fBpoise\\fR \\fIVERB\\fR [\\fIOPTIONS\\fR]\n"
          ".SH VERBS\n",
          out);
    for (int i = 0; i < VERB_COUNT; i++)
        put_verb(out, (enum verb_id)i);
    fputs(".SH EXIT STATUS\n"
          ".TP\n0\nsuccess\n.TP\n1\nfailure while running\n.TP\n2\nwrong command line\n"
          ".TP\n3\ninvalid configuration\n.TP\n4\ncannot bind or open what was named\n"
          ".SH ENVIRONMENT\n"
          ".TP\n\\fBPOISE_ADMIN\\fR, \\fBPOISE_TOKEN\\fR\n"
          "where a running balancer is found, and what changing it over its address needs\n"
          ".TP\n\\fBNO_COLOR\\fR\nprint without colours\n"
          ".SH FILES\n\\fI./poise.yaml\\fR, \\fI/etc/poise/poise.yaml\\fR, "
          "\\fI/run/poise/admin.sock\\fR\n",
          out);
}

/* ---- completions ---- */

static void put_words(FILE *out, enum verb_id verb)
{
    for (int i = 0; i < OPTION_COUNT; i++) {
        if (option_rows[i].verb == verb)
            fprintf(out, " --%s", option_rows[i].name);
    }
    fputs(" --help", out);
    if (verb == VERB_backends)
        fputs(" add remove drain enable disable weight", out);
    for (int i = 0; i < VERB_COUNT && verb == VERB_help; i++)
        fprintf(out, " %s", verb_rows[i].name);
}

static void put_bash(FILE *out)
{
    fputs("_poise() {\n"
          "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} words\n"
          "    case $before in\n"
          "    -c | --config | -s | --socket | --save | --log-file)\n"
          "        [ \"${COMP_WORDS[1]}\" = backends ] && [ \"$before\" = --save ] ||\n"
          "            { mapfile -t COMPREPLY < <(compgen -f -- \"$word\"); return; } ;;\n"
          "    esac\n"
          "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
          "        words='",
          out);
    for (int i = 0; i < VERB_COUNT; i++)
        fprintf(out, "%s ", verb_rows[i].name);
    fputs("--help --version'\n"
          "    else\n"
          "        case ${COMP_WORDS[1]} in\n",
          out);
    for (int i = 0; i < VERB_COUNT; i++) {
        fprintf(out, "        %s) words='", verb_rows[i].name);
        put_words(out, (enum verb_id)i);
        fputs("' ;;\n", out);
    }
    fputs("        esac\n"
          "    fi\n"
          "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$word\")\n"
          "}\n"
          "complete -F _poise poise\n",
          out);
}

/* Single quotes end a text in both shells; summaries and helps hold few of them. */
static void put_quoted(FILE *out, const char *text, const char *also)
{
    fputc('\'', out);
    for (const char *p = text; *p; p++) {
        if (*p == '\'')
            fputs("'\\''", out);
        else if (strchr(also, *p))
            fprintf(out, "\\%c", *p);
        else
            fputc(*p, out);
    }
    fputc('\'', out);
}

static void put_zsh(FILE *out)
{
    fputs("#compdef poise\n"
          "_poise() {\n"
          "    if (( CURRENT == 2 )); then\n"
          "        local -a verbs=(\n",
          out);
    for (int i = 0; i < VERB_COUNT; i++) {
        fprintf(out, "            %s:", verb_rows[i].name);
        put_quoted(out, verb_rows[i].summary, "");
        fputc('\n', out);
    }
    fputs("        )\n"
          "        _describe verb verbs\n"
          "        return\n"
          "    fi\n"
          "    case $words[2] in\n",
          out);
    for (int v = 0; v < VERB_COUNT; v++) {
        fprintf(out, "    %s) _arguments", verb_rows[v].name);
        for (int i = 0; i < OPTION_COUNT; i++) {
            const struct option_row *o = &option_rows[i];
            if ((int)o->verb != v)
                continue;
            fprintf(out, " \\\n        '%s--%s['", o->type == OPTION_TEXTS ? "*" : "", o->name);
            put_quoted(out, o->help, "[]:");
            fprintf(out, "']%s%s%s'", o->argument[0] ? ":" : "", o->argument,
                    o->argument[0] ? ":_files" : "");
        }
        fputs(" ;;\n", out);
    }
    fputs("    esac\n}\n_poise \"$@\"\n", out);
}

static void put_fish(FILE *out)
{
    for (int i = 0; i < VERB_COUNT; i++) {
        fprintf(out, "complete -c poise -n __fish_use_subcommand -f -a %s -d ", verb_rows[i].name);
        put_quoted(out, verb_rows[i].summary, "\\");
        fputc('\n', out);
    }
    for (int i = 0; i < OPTION_COUNT; i++) {
        const struct option_row *o = &option_rows[i];
        fprintf(out, "complete -c poise -n '__fish_seen_subcommand_from %s' -l %s",
                verb_rows[o->verb].name, o->name);
        if (o->letter)
            fprintf(out, " -s %c", o->letter);
        fprintf(out, "%s -d ", o->argument[0] ? " -r" : "");
        put_quoted(out, o->help, "\\");
        fputc('\n', out);
    }
}

bool manual_completion(FILE *out, const char *shell)
{
    if (strcmp(shell, "bash") == 0)
        put_bash(out);
    else if (strcmp(shell, "zsh") == 0)
        put_zsh(out);
    else if (strcmp(shell, "fish") == 0)
        put_fish(out);
    else
        return false;
    return true;
}
