/* SPDX-License-Identifier: MIT */
/*
 * Intrusive circular doubly linked list. The head is a link that belongs to no object; an object
 * embeds one `struct list` for each list it can be on.
 *
 *      head <-> a <-> b <-> c <-> head        empty:  head <-> head
 *
 * Nothing is allocated. An object must be off every list before its memory goes away. A link that
 * is on no list points at itself, after list_init() or list_del(): list_linked() tells.
 *
 * Threads: the owner's thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/check.h"
#include "base/compiler.h"

struct list {
    struct list *next;
    struct list *prev;
};

/* Static initialiser of a head or of an unlinked link. */
#define LIST_INIT(name)  \
    {                    \
        &(name), &(name) \
    }

static inline void list_init(struct list *l);
static inline bool list_empty(const struct list *head);
static inline bool list_linked(const struct list *link);
static inline size_t list_len(const struct list *head); /* walks it: tests and reports */

/* The link must be on no list. */
static inline void list_add_head(struct list *head, struct list *link);
static inline void list_add_tail(struct list *head, struct list *link);
static inline void list_add_before(struct list *at, struct list *link);

/* Takes the link off its list; on no list it does nothing. */
static inline void list_del(struct list *link);
static inline void list_move_head(struct list *head, struct list *link);
static inline void list_move_tail(struct list *head, struct list *link);

/* First and last link, or NULL if empty; list_pop also takes it off. */
static inline struct list *list_first(const struct list *head);
static inline struct list *list_last(const struct list *head);
static inline struct list *list_pop(struct list *head);

/* Moves all of `from` to the end of `to`; `from` is then empty. */
static inline void list_splice_tail(struct list *to, struct list *from);

/* The object around a link. */
#define list_entry(link, type, member) container_of(link, type, member)

/*
 * Walks objects: `it` is a pointer variable of the caller's, `member` its link. The body must not
 * take off any object (list_each) or any but the current one (list_each_safe).
 */
#define list_each(it, head, member)      LIST_WALK(it, head, member, __COUNTER__)
#define list_each_safe(it, head, member) LIST_WALK_SAFE(it, head, member, __COUNTER__)

/* The head is in no object: `it` is never computed from it. */
#define LIST_WALK(it, head, member, id) LIST_WALK_NAMED(it, head, member, id)
#define LIST_WALK_NAMED(it, head, member, id)                                                \
    for (struct list *at_##id = (head)->next;                                                \
         at_##id != (head) && ((it) = list_entry(at_##id, __typeof__(*(it)), member), true); \
         at_##id = at_##id->next)

#define LIST_WALK_SAFE(it, head, member, id) LIST_WALK_SAFE_NAMED(it, head, member, id)
#define LIST_WALK_SAFE_NAMED(it, head, member, id)                                           \
    for (struct list *at_##id = (head)->next, *after_##id = at_##id->next;                   \
         at_##id != (head) && ((it) = list_entry(at_##id, __typeof__(*(it)), member), true); \
         at_##id = after_##id, after_##id = at_##id->next)

/* ---- inline bodies ---- */

static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}

static inline bool list_empty(const struct list *head)
{
    return head->next == head;
}

static inline bool list_linked(const struct list *link)
{
    return link->next != link;
}

static inline size_t list_len(const struct list *head)
{
    size_t n = 0;
    for (const struct list *l = head->next; l != head; l = l->next)
        n++;
    return n;
}

static inline void list_add_before(struct list *at, struct list *link)
{
    CHECK(!list_linked(link));
    link->next = at;
    link->prev = at->prev;
    at->prev->next = link;
    at->prev = link;
}

static inline void list_add_head(struct list *head, struct list *link)
{
    list_add_before(head->next, link);
}

static inline void list_add_tail(struct list *head, struct list *link)
{
    list_add_before(head, link);
}

static inline void list_del(struct list *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
    list_init(link);
}

static inline void list_move_head(struct list *head, struct list *link)
{
    list_del(link);
    list_add_head(head, link);
}

static inline void list_move_tail(struct list *head, struct list *link)
{
    list_del(link);
    list_add_tail(head, link);
}

static inline struct list *list_first(const struct list *head)
{
    return list_empty(head) ? NULL : head->next;
}

static inline struct list *list_last(const struct list *head)
{
    return list_empty(head) ? NULL : head->prev;
}

static inline struct list *list_pop(struct list *head)
{
    struct list *link = list_first(head);
    if (link)
        list_del(link);
    return link;
}

static inline void list_splice_tail(struct list *to, struct list *from)
{
    if (list_empty(from))
        return;
    from->next->prev = to->prev;
    from->prev->next = to;
    to->prev->next = from->next;
    to->prev = from->prev;
    list_init(from);
}
