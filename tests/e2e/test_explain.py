# SPDX-License-Identifier: MIT
"""`poise explain`: the decision for a request, from a file and of a running balancer."""

import json
import socket
import subprocess

import pytest
import web
from admin import UnixConnection
from programs import BINARY, config, pool, wait_until


def explain(*words):
    return subprocess.run([BINARY, "explain", *map(str, words)], capture_output=True, text=True, timeout=60)


ROUTED = """listeners:
  - name: web
    listen: 127.0.0.1:8080
    pool: app
    routes:
      - match: {host: api.example.com}
        pool: api
pools:
  - {name: app, backends: [{name: B1, address: "127.0.0.1:1"}, {name: B2, address: "127.0.0.1:2", weight: 0}]}
  - {name: api, backends: [{name: A1, address: "127.0.0.1:3", weight: 0}]}
"""


def test_from_a_file(work):
    path = work / "poise.yaml"
    path.write_text(ROUTED)
    done = explain("-c", path, "GET http://www.example.com:8080/x")
    assert done.returncode == 0 and not done.stderr, done
    for part in (f"web  {path}:2", f"web[0]  {path}:6", "host is not api.example.com", "its weight is 0",
                 "forwarded to B1"):
        assert part in done.stdout, (part, done.stdout)
    told = json.loads(explain("-c", path, "-H", "Host: api.example.com", "/", "--json").stdout)
    assert told["route"]["name"] == "web[0]" and told["outcome"] == "no_backend" and told["status"] == 503
    assert explain("-c", path, "-H", "Host: api.example.com", "/").returncode == 1


@pytest.mark.parametrize("tls,scheme", [("", "http"), ("tls: {certificates: [{cert: /c.pem}]}", "https")])
def test_the_scheme_is_the_listeners(work, tls, scheme):
    path = work / "poise.yaml"
    path.write_text(ROUTED.replace("pool: app", f"pool: app\n    {tls}", 1))
    done = explain("-c", path, f"GET {scheme}://www.example.com:8080/x")
    assert done.stdout.startswith(f"GET {scheme}://www.example.com/x from "), done


def test_wrong_questions(work):
    path = work / "poise.yaml"
    path.write_text(ROUTED)
    for words, code, says in (
        (["-c", path], 2, "say which request"),
        (["-c", path, "x"], 2, "neither an address nor a path"),
        (["-c", path, "/", "--listener", "wep"], 2, "did you mean 'web'?"),
        (["-c", work / "absent.yaml", "/"], 4, "absent.yaml"),
    ):
        done = explain(*words)
        assert done.returncode == code and says in done.stderr and not done.stdout, done
    path.write_text("listeners: 5\n")
    assert explain("-c", path, "/").returncode == 3


def ask(path, **question):
    c = UnixConnection(path)
    c.request("POST", "/api/v1/explain", json.dumps(question), {"Content-Type": "application/json"})
    answer = c.getresponse()
    body = json.loads(answer.read())
    c.close()
    return answer.status, body


def test_of_a_running_balancer(start, work):
    """It knows who is down and what is under way, and asking moves nothing."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        backend = start.server("B1")
        socket_path = work / "admin.sock"
        members = [("B1", backend.address), ("B2", "127.0.0.1:%d" % closed.getsockname()[1])]
        lb = start.poise({**config(pool(members, health={"type": "tcp", "interval": "100ms"})),
                          "admin": {"socket": str(socket_path)}})
        down = {"name": "B2", "eligible": False, "because": "down: connect_refused"}

        def told():
            status, body = ask(socket_path, request="GET http://x/", headers=["A: b"])
            assert status == 200, body
            return body

        def known():
            c = told()["candidates"][1]
            return down.items() <= c.items()

        wait_until(known, "the dead backend is shown as down")
        first = told()
        assert first["live"] and first["pick"] == "B1" and first["how"] == told()["how"], first
        assert web.get(lb.port, "/").status == 200
        # Its client has the answer a little before the exchange has ended.
        wait_until(lambda: told()["candidates"][0]["in_flight"] == 0, "asking has taken no place")
        status, body = ask(socket_path, request="nonsense")
        assert status == 400 and body["error"]["field"] == "request", body
        status, body = ask(socket_path, request="/", headers={"a": "b"})
        assert status == 400 and body["error"]["field"] == "headers", body
