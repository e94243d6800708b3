/* SPDX-License-Identifier: MIT */
/*
 * What gcc and clang can tell us beyond C17, under short names.
 * No function here runs: attributes, branch hints and type-safe arithmetic helpers only.
 */
#pragma once

#include <stddef.h>

#define NODISCARD      __attribute__((warn_unused_result))
#define NORETURN       __attribute__((noreturn))
#define UNUSED         __attribute__((unused))
#define FALLTHROUGH    __attribute__((fallthrough))
#define COLD           __attribute__((cold))
#define NOINLINE       __attribute__((noinline))
#define ALWAYS_INLINE  __attribute__((always_inline))
#define ALIGNED(bytes) __attribute__((aligned(bytes)))

/* The argument numbers (from 1) of a printf format and of its first value. */
#define PRINTF(format_arg, first_arg) __attribute__((format(printf, format_arg, first_arg)))

#define LIKELY(x)   __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

/* Starts to fetch the line at p, which will be read or written soon. Any address will do. */
#define PREFETCH(p) __builtin_prefetch(p, 1)

/* Two writers on one line of this size slow each other down: x86-64 and most arm64 cores. */
#define CACHE_LINE_BYTES 64

/* Memory that must not be touched, as the address sanitizer sees it; nothing in other builds. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ADDRESS_SANITIZED 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define ADDRESS_SANITIZED 1
#endif
#ifdef ADDRESS_SANITIZED
#include <sanitizer/asan_interface.h>
#define POISON(p, n)   ASAN_POISON_MEMORY_REGION(p, n)
#define UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION(p, n)
#else
#define ADDRESS_SANITIZED 0
#define POISON(p, n)      ((void)(p), (void)(n))
#define UNPOISON(p, n)    ((void)(p), (void)(n))
#endif

/* Under any sanitizer, which has its own use for signals, files and other processes. */
#if ADDRESS_SANITIZED || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* A pointer instead of an array does not compile: the two types below would be the same. */
#define ARRAY_LEN(a)              \
    (sizeof(a) / sizeof((a)[0]) + \
     0 * sizeof(char[1 - 2 * __builtin_types_compatible_p(__typeof__(a), __typeof__(&(a)[0]))]))

/* The struct that embeds `member`, from a pointer to that member; a wrong type does not compile. */
#define container_of(ptr, type, member)                                         \
    (__extension__({                                                            \
        const __typeof__(((type *)0)->member) *member_ptr_ = (ptr);             \
        (type *)(void *)((char *)(size_t)member_ptr_ - offsetof(type, member)); \
    }))

/*
 * Arguments are evaluated once and must have one type, so that no sign is lost on the way. The
 * counter gives each use its own names: uses may nest.
 */
#define MIN(a, b)             PICK_BY(a, b, <, __COUNTER__)
#define MAX(a, b)             PICK_BY(a, b, >, __COUNTER__)
#define PICK_BY(a, b, op, id) PICK_BY_NAMED(a, b, op, id)
#define PICK_BY_NAMED(a, b, op, id)         \
    (__extension__({                        \
        __auto_type a_##id = (a);           \
        __auto_type b_##id = (b);           \
        (void)(&a_##id == &b_##id);         \
        a_##id op b_##id ? a_##id : b_##id; \
    }))
