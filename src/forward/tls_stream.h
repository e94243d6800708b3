/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * TLS as a layer (io/layer.h): a stream whose bytes are encrypted on their way to and from the
 * stream below. To its user it is any other stream, with these answers of its own:
 *
 *      connected  the handshake is done, on the accepting side too
 *      eof        the peer said close_notify
 *      failed     besides what the stream below fails with: an end without close_notify
 *                 (tls_truncated, backend_tls_truncated), and all that codec/tls.h returns
 *      close      NORMAL says close_notify; RESET does not
 *
 * Lifetime: the layer owns the stream below from _accept or _connect on, also where those fail.
 * Thread rule: a worker's, its loop's.
 *
 * All streams of a worker share its buffer for plaintext and its buffer for what goes out; a stream
 * holds none while it is quiet. Of the steps of a handshake that cost public-key operations a
 * worker takes a few each turn; who comes after them waits in order, so that traffic goes on
 * meanwhile.
 */

#include "codec/tls.h"
#include "io/loop.h"

/* What the TLS streams of one loop share. */
struct tls_worker;

/* 0, or a negative reason. */
NODISCARD int tls_worker_new(struct loop *loop, struct tls_worker **ret_worker);

/* After its last stream. Leaves NULL; accepts NULL. */
void tls_worker_free(struct tls_worker **worker);

/*
 * A client came over `below`; the handshake begins with `early`, bytes that were received already
 * (n may be 0), and then with what it sends. Reading is off until asked for. NULL, with `below`
 * closed, when there is no room.
 */
struct stream *tls_stream_accept(struct tls_worker *worker, struct tls_server *server,
                                 struct stream *below, struct slice early,
                                 const struct stream_ops *ops, void *user);

/*
 * To a backend over `below`, which may still be connecting and has no send under way. `prefix`
 * (n may be 0) goes ahead of the handshake, in clear. name and resumption are those of
 * tls_session_init_client. NULL, with `below` closed, when there is no room.
 */
struct stream *tls_stream_connect(struct tls_worker *worker, struct tls_client *client,
                                  struct span name, struct tls_resumption *resumption,
                                  struct stream *below, struct slice prefix,
                                  const struct stream_ops *ops, void *user);

/* For tls_session_facts, _peer and _why: the stream's session, or NULL if it is no TLS stream.
 * Valid until stream_close. */
const struct tls_session *tls_stream_session(struct stream *s);

/* Whether its peer agreed on HTTP/2 in the handshake; to be asked when it is connected. */
bool tls_stream_has_http2(struct stream *s);
