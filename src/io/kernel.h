/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The system calls of the data path; for files of io/ alone. Any thread.
 *
 * In a process with threads each recv() and send() of the C library also makes itself a
 * cancellation point: two locked operations and some sixty instructions a call, four times a
 * request. Nothing here is ever cancelled, so these go to the kernel directly. Under a sanitizer,
 * which wants to see the buffers, and on processors not named below they are the library's calls.
 *
 * All answer as the kernel does: what the call returns, or -errno.
 */

#include "base/compiler.h"

#include <errno.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>

#if defined(__SANITIZE_THREAD__)
#define KERNEL_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define KERNEL_SANITIZED 1
#endif
#endif
#ifndef KERNEL_SANITIZED
#define KERNEL_SANITIZED ADDRESS_SANITIZED
#endif

#if defined(__x86_64__) && !KERNEL_SANITIZED
#define KERNEL_DIRECT 1

static inline long kernel_call(long number, long a, long b, long c, long d, long e, long f)
{
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

#elif defined(__aarch64__) && !KERNEL_SANITIZED
#define KERNEL_DIRECT 1

static inline long kernel_call(long number, long a, long b, long c, long d, long e, long f)
{
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;
    __asm__ volatile("svc 0"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                     : "memory");
    return x0;
}

#else
#define KERNEL_DIRECT 0
#endif

static inline ssize_t kernel_recv(int fd, void *to, size_t bytes)
{
#if KERNEL_DIRECT
    return kernel_call(SYS_recvfrom, fd, (long)(uintptr_t)to, (long)bytes, 0, 0, 0);
#else
    ssize_t n = recv(fd, to, bytes, 0);
    return n < 0 ? -errno : n;
#endif
}

/* more: MSG_MORE or 0. */
static inline ssize_t kernel_send(int fd, const void *from, size_t bytes, int more)
{
#if KERNEL_DIRECT
    return kernel_call(SYS_sendto, fd, (long)(uintptr_t)from, (long)bytes, MSG_NOSIGNAL | more, 0,
                       0);
#else
    ssize_t n = send(fd, from, bytes, MSG_NOSIGNAL | more);
    return n < 0 ? -errno : n;
#endif
}

static inline ssize_t kernel_sendmsg(int fd, const struct msghdr *message, int more)
{
#if KERNEL_DIRECT
    return kernel_call(SYS_sendmsg, fd, (long)(uintptr_t)message, MSG_NOSIGNAL | more, 0, 0, 0);
#else
    ssize_t n = sendmsg(fd, message, MSG_NOSIGNAL | more);
    return n < 0 ? -errno : n;
#endif
}
