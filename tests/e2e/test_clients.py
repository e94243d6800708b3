# SPDX-License-Identifier: MIT
"""Clients and a backend that others wrote: curl, wrk, h2load, nginx."""

import hashlib
import os
import re
import subprocess

import pytest
from needs import need
from programs import SANITIZER, Held, config, pool, wait_until
import web

SECONDS = "2"


def run(*argv, **options):
    done = subprocess.run(
        [str(a) for a in argv], capture_output=True, text=True, timeout=120, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_wrk(start):
    wrk = need("wrk")
    poise = start.poise(config(pool(start.servers(3))), "--workers", "2")
    out = run(wrk, "-t1", "-c64", "-d" + SECONDS, poise.url + "/")
    assert "Non-2xx" not in out and "Socket errors" not in out, out
    assert int(re.search(r"(\d+) requests in", out)[1]) > (1000 if not SANITIZER else 100), out


def test_wrk_pipelined(start, work):
    wrk = need("wrk")
    script = work / "pipeline.lua"
    script.write_text(
        "init = function(args)\n"
        "  local r = {}\n"
        "  for i = 1, 8 do r[i] = wrk.format('GET', '/' .. i) end\n"
        "  all = table.concat(r)\n"
        "end\n"
        "request = function() return all end\n"
    )
    poise = start.poise(config(pool(start.servers(3))))
    out = run(wrk, "-t1", "-c16", "-d" + SECONDS, "-s", script, poise.url + "/")
    assert "Non-2xx" not in out and "Socket errors" not in out, out


def test_h2load_over_http1(start):
    h2load = need("h2load")
    poise = start.poise(config(pool(start.servers(3))), "--workers", "2")
    out = run(h2load, "--h1", "-n", "20000", "-c", "64", "-t", "1", poise.url + "/")
    assert "20000 succeeded, 0 failed, 0 errored, 0 timeout" in out, out
    assert "status codes: 20000 2xx" in out, out


def test_curl_many_over_one_connection(start):
    poise = start.poise(config(pool(start.servers(3))))
    out = run("curl", "-sS", "--max-time", "30", "-v", *[poise.url + "/"] * 6)
    assert out.split("Hello from ")[1:] and [x[:2] for x in out.split("Hello from ")[1:]] == [
        "B1",
        "B2",
        "B3",
    ] * 2


def test_curl_uploads_with_expect(start, work):
    """curl asks with Expect: 100-continue for large bodies."""
    poise = start.poise(config(pool(start.servers(1))))
    body = work / "body"
    body.write_bytes(b"x" * 3_000_000)
    out = run(
        *["curl", "-sS", "--max-time", "30", "--data-binary", f"@{body}", "-H", "Expect: 100-continue"],
        *["-o", "/dev/null", "-w", "%{http_code} %{size_upload}", poise.url + "/"],
    )
    assert out == "200 3000000"


@pytest.fixture
def nginx(start, work):
    """An nginx with files: small, large, listed in chunks by its index of a folder."""
    binary = need("nginx")
    held = Held()
    (work / "root").mkdir()
    (work / "root" / "small").write_text("small file\n")
    (work / "root" / "empty").write_text("")
    (work / "root" / "large").write_bytes(os.urandom(1 << 20) * 40)
    (work / "root" / "folder").mkdir()
    for i in range(200):
        (work / "root" / "folder" / f"file-{i}").write_text("")
    (work / "nginx.conf").write_text(
        f"""{"user root;" if os.geteuid() == 0 else ""}
daemon off; worker_processes 1; pid {work}/nginx.pid; error_log {work}/nginx.log;
events {{ worker_connections 1000; }}
http {{
    access_log {work}/nginx-access.log;
    client_max_body_size 100m;
    client_body_temp_path {work}/t1; proxy_temp_path {work}/t2; fastcgi_temp_path {work}/t3;
    uwsgi_temp_path {work}/t4; scgi_temp_path {work}/t5;
    keepalive_requests 100;
    gzip on; gzip_types *; gzip_proxied any;
    server {{
        listen {held.address};
        root {work}/root;
        location / {{ autoindex on; }}
        location /told {{ default_type text/plain; return 200 "$http_x_forwarded_for $http_host"; }}
        location /moved {{ return 301 /small; }}
        location /connection {{ default_type text/plain; return 200 "$connection $connection_requests"; }}
    }}
}}
"""
    )
    program = start.program(
        binary, "-e", work / "nginx.log", "-c", work / "nginx.conf", "-p", work, name="nginx"
    )

    def listens():
        assert program.running(), program.err
        try:
            return web.get(held.port, "/small").status == 200
        except OSError:
            return False

    wait_until(listens, "nginx listens")
    yield held.address
    program.end()
    held.close()


@pytest.fixture
def front(start, nginx):
    return start.poise(config(pool([("nginx", nginx)])), "--workers", "1")


def test_nginx_files(front, work):
    assert web.get(front.port, "/small").body == b"small file\n"
    assert web.get(front.port, "/empty").body == b""
    large = hashlib.sha256((work / "root" / "large").read_bytes()).hexdigest()
    for _ in range(3):
        assert hashlib.sha256(web.get(front.port, "/large").body).hexdigest() == large
    part = web.get(front.port, "/large", headers={"Range": "bytes=1000000-1999999"})
    assert part.status == 206 and len(part.body) == 1_000_000


def test_nginx_statuses(front):
    assert web.get(front.port, "/absent").status == 404
    assert web.get(front.port, "/moved").headers["Location"].endswith("/small")
    fresh = web.get(front.port, "/small")
    again = web.get(front.port, "/small", headers={"If-None-Match": fresh.headers["ETag"]})
    assert again.status == 304 and again.body == b""
    assert web.get(front.port, "/small", method="HEAD").headers["Content-Length"] == "11"


def test_nginx_chunks(front):
    """A compressed listing is made on the fly, so its length is not known before."""
    answer = web.get(front.port, "/folder/", headers={"Accept-Encoding": "gzip"})
    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.headers["Transfer-Encoding"] == "chunked"
    import gzip

    assert b"file-199" in gzip.decompress(answer.body)


def test_nginx_is_told_of_the_client(front):
    body = web.get(front.port, "/told", headers={"Host": "example.org"}).body
    assert body == b"127.0.0.1 example.org"


def test_nginx_connections_are_kept(front):
    seen = [web.get(front.port, "/connection").body.split() for _ in range(20)]
    assert len({connection for connection, _ in seen}) == 1, seen


def test_nginx_closes_after_100_requests(front):
    """It ends each connection after its hundredth request: no client notices."""
    load = web.Load(front.port, 8, "/small")
    wait_until(lambda: load.count() > 2000, "requests are answered")
    load.stop()
    assert load.errors == [] and set(load.answers) == {200}, load.reasons
