/* SPDX-License-Identifier: MIT */
/*
 * seccomp: what is not listed is refused with EPERM. Refused rather than killed, so that a library
 * that tries something new degrades instead of ending all traffic.
 */
#include "app/sandbox_priv.h"

#include <errno.h>

#ifdef HAVE_SECCOMP
#include <sched.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#define CALL(name) SCMP_SYS(name),
static const int allowed[] = {
#include "app/sandbox_calls.def"
};
#undef CALL

/* Kinds of sockets to backends and name servers; the upper bits of a type are flags. */
static int allow_sockets(scmp_filter_ctx f)
{
    static const int families[] = {AF_INET, AF_INET6, AF_UNIX};
    static const int types[] = {SOCK_STREAM, SOCK_DGRAM};
    for (size_t i = 0; i < ARRAY_LEN(families); i++) {
        for (size_t k = 0; k < ARRAY_LEN(types); k++) {
            int r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2,
                                     SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)families[i], 0),
                                     SCMP_A1(SCMP_CMP_MASKED_EQ, 0xf, (scmp_datum_t)types[k]));
            if (r < 0)
                return r;
        }
    }
    return 0;
}

/* Threads, but no processes. clone3 hides its flags from us: without it the C library takes clone.
 */
static int allow_threads(scmp_filter_ctx f)
{
    int r = seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    if (r < 0)
        return r;
    return seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                            SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
}

static int add_rules(scmp_filter_ctx f)
{
    int r = seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a tree, not a list */
    if (r == 0)
        r = seccomp_attr_set(f, SCMP_FLTATR_CTL_SSB, 1); /* no slower memory for it */
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(allowed); i++) {
        r = seccomp_rule_add(f, SCMP_ACT_ALLOW, allowed[i], 0);
        if (r == -EDOM)
            r = 0; /* not on this architecture */
    }
    if (r == 0)
        r = allow_sockets(f);
    return r == 0 ? allow_threads(f) : r;
}

int sandbox_shut_calls(void)
{
    if (prctl(PR_GET_SECCOMP, 0, 0, 0, 0) < 0)
        return -ENOSYS;
    scmp_filter_ctx f = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (!f)
        return -ENOMEM;
    int r = add_rules(f);
    if (r == 0)
        r = seccomp_load(f);
    seccomp_release(f);
    return r;
}

#else

int sandbox_shut_calls(void)
{
    return -ENOSYS;
}
#endif
