# SPDX-License-Identifier: MIT
"""The JSON Schema accepts what `poise check` accepts and refuses what a schema can refuse."""

import copy
import json
import sys

import jsonschema
import yaml

# "on" is in quotes for PyYAML, which speaks YAML 1.1.
GOOD = """
admin: {listen: 127.0.0.1:9900, socket: /run/poise/admin.sock, token: "${POISE_TOKEN}"}
log: {level: info, file: load_balancer.log, format: text}
access_log: {file: access.log, format: json}
workers: auto
engine: auto
drain: {deadline: 0}
listeners:
  - name: web
    listen: ":8080"
    protocol: http
    pool: app
    max_connections: 10000
    trusted: [10.0.0.0/8]
    routes:
      - {match: {host: a.example, path_prefix: /v1, method: [GET], headers: {x-beta: "1"}}, pool: api}
pools:
  - name: app
    balance: round_robin
    protocol: http
    health: {type: http, path: /health, expect: 200-399, interval: 2s, timeout: 1s, rise: 2, fall: 3}
    passive_health: {failures: 5, window: 10s, eject_for: 10s}
    retries: {attempts: 2, "on": [connect_failure, reset_before_response]}
    timeouts: {connect: 2s, response: 30s, idle: 60s}
    keepalive: {max_idle: 256, idle: 60s}
    max_connections: "${LIMIT:-0}"
    backends:
      - {name: B1, address: 127.0.0.1:8881, weight: 1, backup: false}
      - 127.0.0.1:8882
  - {name: api, health: {type: http, expect: [204, 200-201]}, backends: [127.0.0.1:8883]}
"""

# A path into GOOD and a value that must not stand there.
BAD = [
    (["colour"], "red"),
    (["workers"], 0),
    (["workers"], "many"),
    (["engine"], "io_uring"),
    (["drain", "deadline"], 30),
    (["drain", "deadline"], "30 s"),
    (["access_log", "format"], "nginx"),
    (["listeners"], []),
    (["listeners", 0, "name"], "my web"),
    (["listeners", 0, "listen"], []),
    (["listeners", 0, "pools"], "app"),
    (["listeners", 0, "routes", 0, "match", "path"], "v1"),
    (["listeners", 0, "routes", 0, "match", "method"], "get"),
    (["pools", 0, "balance"], "roundrobin"),
    (["pools", 0, "health", "rise"], 0),
    (["pools", 0, "health", "expect"], 99),
    (["pools", 0, "timeouts", "connect"], "2sec"),
    (["pools", 0, "retries", "on"], ["timeout"]),
    (["pools", 0, "backends", 0, "weight"], 257),
    (["pools", 0, "backends", 0, "backup"], "yes"),
    (["pools", 0, "backends", 0, "weigth"], 1),
]


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        schema = json.load(file)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    good = yaml.safe_load(GOOD)
    failures = [f"refused: {error.message}" for error in validator.iter_errors(good)]
    for path, value in BAD:
        bad = copy.deepcopy(good)
        block = bad
        for step in path[:-1]:
            block = block[step]
        block[path[-1]] = value
        if validator.is_valid(bad):
            failures.append(f"accepted: {path} = {value!r}")
    print("\n".join(failures) or "ok")
    return 1 if failures else 0


sys.exit(main())
