/* SPDX-License-Identifier: MIT */
/*
 * What the files of the load generator share. One process, one thread, one epoll set: it drives the
 * proxy and answers it, and every microsecond it saves is one less in which the proxy waits for it.
 *
 *   load.c             the loop and the commands
 *   load_connection.c  connections, bytes in and out, the CPU time of others
 *   load_server.c      the backends
 *   load_client.c      the clients: a closed loop, and connections that are left idle
 *   load_open.c        the clients: an open loop, on a fixed schedule
 *   load_tls.c         TLS of the clients
 *   load_h2.c          HTTP/2, what clients and backends have in common
 *   load_h2_client.c   the clients over HTTP/2
 *   load_h2_server.c   the backends over HTTP/2, in clear
 *
 * Sockets are registered once, edge-triggered, for everything; a receive that comes back short of
 * its buffer has emptied the socket. All connections receive into one buffer: the next one finds it
 * in the cache.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    BACKENDS_MAX = 16,
    PIDS_MAX = 16,
    TASKS_MAX = 64,
    DEPTH_MAX = 16,
    BODY_MAX = 1 << 20,
    STREAMS_MAX = 128,
    HEAD_MAX = 4096,
    SCRATCH = 256 * 1024,
    EVENTS = 512,
};

enum kind { KIND_STDIN, KIND_LISTENER, KIND_SERVER, KIND_CLIENT };

struct tls;
struct h2;

struct connection {
    uint8_t kind;   /* enum kind */
    bool idle;      /* client: belongs to `open` */
    bool hung_up;   /* the other side has sent all it will: read to the end */
    bool closing;   /* server: the request said "Connection: close" */
    bool done;      /* client: all is here, the end of the connection is due */
    bool greeting;  /* client: in its TLS handshake; nothing has been asked yet */
    bool speaks_h2; /* listener */
    int fd;
    unsigned backend; /* server, listener */
    unsigned due;     /* answers: server: to be sent; client: to come */
    size_t index;     /* client: its place in `clients` */
    const char *out;  /* what is being sent */
    size_t out_len, out_sent;
    bool in_body;
    uint64_t body_len, body_seen; /* server: of an upload; client: of an answer */
    uint64_t due_ns;              /* open loop: when the request should have been sent */
    char *rest;                   /* the beginning of a head whose end is to come */
    size_t rest_len;
    struct tls *tls;         /* NULL: in clear */
    struct h2 *h2;           /* NULL: HTTP/1 */
    struct connection *next; /* free list */
};

struct task {
    int tid;
    char name[16];
    uint64_t ns;
};

/* What a run is asked to do, what it has counted, and where it stands. */
struct run {
    bool active, measuring;
    uint16_t port;
    bool keep;
    size_t connections, body;
    uint64_t browser, upload, depth, sources, rate, tls, resume, streams; /* options of `run` */
    uint64_t limit, started;
    uint64_t warm_ns, measure_ns, begin_ns;
    int pids[PIDS_MAX];
    unsigned pid_count;
    uint64_t requests, errors, self_ns, ticks[2];
    struct task tasks[TASKS_MAX]; /* as they were when measuring began */
    unsigned task_count;
    uint64_t backend_requests[BACKENDS_MAX + 1];
    char why[128]; /* the first error */
};

extern struct run run;
extern int epoll;
extern char scratch[SCRATCH];
extern char body[BODY_MAX];

/* ---- load_connection.c ---- */

_Noreturn void fail(const char *what);
uint64_t now_ns(void);
void run_error(const char *why);

struct connection *connection_new(enum kind kind, int fd);
void connection_watch(struct connection *c);
/* With `reset` nothing stays behind in TIME_WAIT, of which there would soon be too many. */
void connection_close(struct connection *c, bool reset);
void connection_free(struct connection *c);
/* Frees what hangs on a connection that is to be used again or freed. */
void connection_clear(struct connection *c);

/* Notes what an event says besides "readable". */
void connection_hint(struct connection *c, uint32_t events);

/* Receives into `scratch`, after what was kept of an unfinished head. Returns the bytes that are
 * now there, 0 for none, -1 when the connection has ended. *ret_more: the socket may hold more. */
ssize_t connection_receive(struct connection *c, bool *ret_more);

/* Keeps the beginning of a head for the next receive. False when it is too long. */
bool connection_keep(struct connection *c, const char *bytes, size_t n);

/* Sends what is left of `out`, now or when the socket takes more. False when it has failed. */
bool connection_flush(struct connection *c);

/* The value of a number field of a head of n bytes; -1 when it has none. */
int64_t field_number(const char *head, size_t n, const char *name);

/* Whether n bytes are those of the body at `at`: all are compared, while measuring the first and
 * the last 32, which shifted, repeated or lost bytes cannot pass. */
bool body_good(uint64_t at, const char *bytes, size_t n);

/* CPU time of the threads of run.pids (on-CPU nanoseconds), and of the processes in clock ticks of
 * user and of system time. */
unsigned tasks_read(struct task tasks[TASKS_MAX]);
void ticks_read(uint64_t ret_ticks[2]);
uint64_t own_ns(void);

/* ---- load_server.c ---- */

/* Listens for `count` backends of either protocol, and with `spread` on one port of every loopback
 * address. */
void servers_open(unsigned count, bool spread);
/* Makes the answer of the run. */
void server_prepare(void);
void server_event(struct connection *c, uint32_t events);
void listener_event(struct connection *l);
extern unsigned backend_count;
extern uint64_t backend_requests[BACKENDS_MAX + 1]; /* the last: all that spread */

/* ---- load_client.c ---- */

/* Makes the requests of the run. */
void client_prepare(void);
/* Opens one more; the closed loop and idle ones ask at once. */
struct connection *client_add(bool idle);
void client_request(struct connection *c);
void client_event(struct connection *c, uint32_t events);
void clients_close(bool idle);
bool more_wanted(void);
extern size_t idle_open; /* idle connections whose answer is here */

/* ---- load_open.c ---- */

void open_begin(void);
/* Sends what is due. */
void open_turn(void);
/* The answer to the request on this connection is complete. */
void open_complete(struct connection *c);
/* Whether all that was scheduled is answered, or overdue for good. */
bool open_finished(void);
/* Prints the fields of the result that an open loop has besides. */
void open_report(void);

/* ---- load_tls.c ---- */

/* Makes ready for a run; tickets of another one are forgotten. */
void tls_prepare(void);
/* Begins the handshake of a connected client. */
void tls_begin(struct connection *c);
void tls_free(struct tls *tls);
/* Whether all that is under way resumes a session, if that is what the run is about. */
bool tls_settled(void);
bool tls_ready(const struct connection *c);
/* As connection_receive and connection_flush, which call them. */
ssize_t tls_receive(struct connection *c, bool *ret_more);
bool tls_flush(struct connection *c);

/* ---- load_h2_client.c, load_h2_server.c ---- */

void h2_client_prepare(void);
/* Sends the preface and the first requests of a connection. */
void h2_client_begin(struct connection *c);
/* Takes n bytes of answers and asks anew for each that is complete. False when they are wrong. */
bool h2_client_take(struct connection *c, const char *bytes, size_t n);

void h2_server_prepare(void);
void h2_server_begin(struct connection *c);
bool h2_server_take(struct connection *c, const char *bytes, size_t n);
void h2_free(struct h2 *h2);
