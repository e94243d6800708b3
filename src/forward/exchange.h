/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The exchange: one request and its response, or one TCP connection pair; the unit we account for.
 * It is the only part that knows every stage, and it reads in their order:
 *
 *   begin ─▶ route ─▶ pick ─▶ connect ─▶ forward ─▶ finish ─▶ account
 *                      │ ▲       │
 *                      ▼ └───────┘ retry: refused, or reset before any byte of the response
 *                    queue
 *
 *   state          what it waits for                     left by
 *   ROUTING        nothing (inside begin)                exchange_begin_http, exchange_begin_tcp
 *   ASKING         the file of an ACME challenge         its answer, timer, client
 *   QUEUED         a place at a backend                  exchange_granted_entry, timer, client
 *   CONNECTING     the connection to the backend         exchange_connected, _backend_failed
 *   SENDING        the first byte of the response        exchange_response, _backend_failed
 *   RESPONDING     the rest of it                        exchange_end
 *   FINISHING      the client to take what is left       exchange_writable
 *   (gone)
 *
 * Lifetime: from the request's head (HTTP) or the accepted connection (TCP) until the response has
 * been handed to the kernel or the exchange broke off; freed to the worker's slab then.
 *
 * Thread rule: its worker's thread.
 */

#include "account/record.h"
#include "codec/message.h"
#include "config/snapshot.h"
#include "forward/queue.h"
#include "forward/side.h"
#include "io/loop.h"
#include "pick/pick.h"

struct arrival;
struct challenge;
struct forwarder;
struct front_conf;

enum exchange_state {
    EXCHANGE_ROUTING,
    EXCHANGE_ASKING,
    EXCHANGE_QUEUED,
    EXCHANGE_CONNECTING,
    EXCHANGE_SENDING,
    EXCHANGE_RESPONDING,
    EXCHANGE_FINISHING,
    EXCHANGE_STATES
};

/* Where a text for the log lies in the request buffer. */
struct text_at {
    uint32_t off;
    uint16_t len;
};

/* A request head of usual size lies in the exchange itself, a longer one in a buffer. */
#define EXCHANGE_HEAD_BYTES 1024

struct exchange {
#define EXCHANGE_MAGIC 0xe8c4a9e1u
    /* what every exchange needs; cleared when it begins */
    uint32_t magic;
    enum exchange_state state;
    struct forwarder *f;
    const struct front_conf *front; /* one use, until it is freed */
    struct side *client;
    struct side *backend;          /* NULL until picked */
    const struct arrival *arrival; /* the client's, or NULL: plain and direct */

    struct pool *pool;
    const struct route_conf *route;
    struct backend *target; /* picked; pick_done is due once while it is set */
    struct backend *last;   /* the one picked last, for the log */

    /* the request as it is sent to any backend; kept for a repetition and for the log */
    struct slice request; /* the head: [0, request.n); texts for the log behind it */
    struct text_at method_at, id_at;

    bool http;
    bool has_body;                        /* the request has one */
    bool upgrade;                         /* it asks for another protocol */
    bool chunked;                         /* its body goes out in the chunked coding */
    bool grpc;                            /* it is a call of gRPC */
    uint8_t version_major, version_minor; /* of the client's request */
    bool no_reuse;                        /* only a new connection will do */
    bool grant_due;                       /* over, but a place given to it is still on its way */
    bool gone;                            /* … and nothing else of it is left */
    bool texts;                           /* what only the log wants was kept */
    bool pinned; /* `last` is kept for the log, though nothing of ours runs there any more */

    bool body_begun;   /* a byte of its body was taken: it cannot be repeated */
    bool heard;        /* a byte came from the backend: the request cannot be repeated */
    bool request_done; /* the client's message is complete */
    bool response_begun, response_done;
    bool sized;     /* … of a call has a Content-Length */
    bool made_here; /* the response is ours */
    bool tunnel;
    bool client_waits;      /* the client side's credit is taken */
    bool backend_waits;     /* the backend side's credit is taken */
    bool bulk_in, bulk_out; /* the body of the request, the response is moved inside the kernel */
    bool bulk_declined;     /* it did not pay for this one */

    uint16_t status;
    uint16_t marks; /* enum flight_mark (account/recorder.h) */
    enum method method;
    enum reason reason;
    uint32_t retries;
    uint32_t head_bytes_in; /* of bytes_in, the request's head */
    uint64_t bytes_in, bytes_out;
    uint64_t begun_ns, picked_ns, connected_ns, first_byte_ns;
    uint64_t given_ns;    /* to `target` */
    uint64_t deadline_ns; /* of a call; 0 = none. The timer runs while it has one */
    uint64_t credit_ns;   /* how long the client was free to send its body, up to credit_since_ns */
    uint64_t credit_since_ns;  /* 0 = it is not */
    struct pick_request tried; /* cleared up to its list */

    /* what few need: not cleared, set before it is used */
    struct address peer;
    struct text_at target_at, host_at, agent_at, referer_at; /* set if `texts` */
    struct text_at upgrade_at; /* in the head itself; set if `upgrade` */
    struct queue_entry waiting;
    uint64_t queue_until_ns;                      /* how long it may wait there; set if QUEUED */
    struct challenge *challenge;                  /* set while ASKING */
    const char *backend_version, *backend_cipher; /* of its TLS; set if FLIGHT_BACKEND_TLS */
    struct timer timer; /* for the queue, the challenge, and the deadline */
    uint8_t head[EXCHANGE_HEAD_BYTES];
};

/* ---- from the client side ---- */

/*
 * A request head arrived (HTTP). The exchange takes over the conversation with `client`, which it
 * asks to hold back its body until there is a backend to take it. False when the worker has no room
 * (answer REASON_overload). The exchange may already be over on return (an answer of ours); then
 * client->x is NULL.
 */
bool exchange_begin_http(struct forwarder *f, const struct front_conf *front, struct side *client,
                         const struct head *h, const struct address *peer,
                         const struct arrival *arrival);

/* A TCP connection arrived. */
bool exchange_begin_tcp(struct forwarder *f, const struct front_conf *front, struct side *client,
                        const struct address *peer, const struct arrival *arrival);

/* ---- from either side ---- */

/* Accounts n bytes of body; false: that was too many, and the exchange was cut. */
bool exchange_count(struct exchange *x, struct side *from, uint64_t n);
/* A piece of the body; the end of the message. False: the exchange was cut, and `from` with it. */
bool exchange_body(struct exchange *x, struct side *from, struct slice piece);
bool exchange_end(struct exchange *x, struct side *from, struct span trailers);
/* A delivery is over: what was gathered for the other side goes out. */
void exchange_flush(struct exchange *x, struct side *from);
/* What was gathered for `side` was sent, but not all of it went: the other side must wait. */
void exchange_blocked(struct exchange *x, struct side *side);
/* What `side` could not send at once has gone. */
void exchange_writable(struct exchange *x, struct side *side);

/* ---- from the client side ---- */

/* It broke off or misbehaved. If nothing was answered yet and the reason has a status, the client
 * is told; else the exchange is cut. */
void exchange_client_failed(struct exchange *x, enum reason why);

/* ---- from the backend side ---- */

/* The connection, this stream, stands. */
void exchange_connected(struct exchange *x, struct stream *over);
/* Whether the protocol of a 101 is one that the request asked for. */
bool exchange_asked_for(const struct exchange *x, const struct head *h);
/* A response head, interim (1xx) or final; raw may be empty (h1_conn.h). */
void exchange_response(struct exchange *x, const struct head *h, struct slice raw);
/* Of a call of gRPC, before exchange_response and exchange_end: the status is noted that a final
 * head (of trailers only) has, or trailers have. Backends that serve calls speak HTTP/2. */
NOINLINE void exchange_note_answer(struct exchange *x, const struct head *h);
NOINLINE void exchange_note_trailers(struct exchange *x, struct span trailers);
/* The connection failed; both have let go of each other already. Retries where that is safe, else
 * answers or cuts. `fresh` = not a kept-alive connection that may have been closed meanwhile.
 */
void exchange_backend_failed(struct exchange *x, enum reason why, bool fresh);

/* How long it may be that nothing moves in either direction, in milliseconds, once that is not for
 * one side to end (a response awaited, an upload): a call of gRPC is a conversation, in which both
 * may have nothing to say for as long as in a tunnel. */
uint32_t exchange_quiet_ms(const struct exchange *x);
/* Nothing did for that long: ends a tunnel or a call. */
void exchange_quiet(struct exchange *x);

/* Milliseconds for which the client was free to send its body, and what came of it. */
uint64_t exchange_body_ms(const struct exchange *x);
uint64_t exchange_body_bytes(const struct exchange *x);
/* It was not free to: what it could send waits for the backend. */
void exchange_body_held(struct exchange *x);

/* ---- from the queue ---- */

/* A place at b was found, on whatever worker it became free. */
void exchange_granted_entry(struct queue_entry *e, struct backend *b);

/* ---- for those who look ---- */

struct flight; /* account/recorder.h */
struct flight_tls;

/* What there is to say of it now, under way; state is an enum exchange_state, or EXCHANGE_STATES of
 * a tunnel. It points into the exchange, and to *tls. */
void exchange_flight(const struct exchange *x, struct flight *ret_flight, struct flight_tls *tls);

/* ---- from the drain ---- */

/* Ends it now. */
void exchange_kill(struct exchange *x, enum reason why);
