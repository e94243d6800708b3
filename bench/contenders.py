# SPDX-License-Identifier: MIT
"""The proxies that are compared: one worker each, the same features, no logs.

Every contender forwards HTTP (`http_port`) and, where it can, TCP (`tcp_port`) to the backends given.
"""

import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "lib"))

from memory import children, pss_bytes  # noqa: E402
from programs import Held, wait_until  # noqa: E402


FILES = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
CONNECTIONS = min(25000, (FILES - 200) // 2)  # each may need two descriptors


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    except OSError:
        return False


def family(pid):
    """A process and all that descend from it."""
    return [pid] + [p for child in children(pid) for p in family(child)]


class Contender:
    """A proxy as a child process on one CPU. `variant` tells two of the same kind apart."""

    name = None
    http_port = tcp_port = None

    def __init__(self, backends, directory, cpu, variant=""):
        self.label = self.name + variant
        self.directory = Path(directory) / self.label
        self.directory.mkdir()
        self.backends, self.cpu, self.held = backends, cpu, []
        self.process = None
        self.begin()

    def hold(self):
        held = Held()
        self.held.append(held)
        return held.port

    def launch(self, *argv, stdout=subprocess.DEVNULL):
        self.process = subprocess.Popen(
            [str(a) for a in argv],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=open(self.directory / "errors", "wb"),
            preexec_fn=lambda: os.sched_setaffinity(0, {self.cpu}),
        )

    def ready(self):
        for port in filter(None, (self.http_port, self.tcp_port)):
            wait_until(lambda p=port: answers(p) or self.gone(), f"{self.label} listens")

    def gone(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.label} ended: {(self.directory / 'errors').read_text()}")
        return False

    def pids(self):
        return family(self.process.pid)

    def pss(self):
        return sum(pss_bytes(pid) for pid in self.pids())

    def end(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(2)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for held in self.held:
            held.close()


class Poise(Contender):
    name = "poise"

    def begin(self):
        backends = [{"name": f"b{p}", "address": f"127.0.0.1:{p}"} for p in self.backends]
        options = {"health": {"type": "none"}, "backends": backends, "keepalive": {"max_idle": 1024}}
        self.http_port, self.tcp_port = self.hold(), self.hold()
        config = {
            "listeners": [
                {"name": k, "listen": f"127.0.0.1:{port}", "protocol": k, "pool": k}
                for k, port in (("http", self.http_port), ("tcp", self.tcp_port))
            ],
            "pools": [{"name": k, "protocol": k} | options for k in ("http", "tcp")],
        }
        path = self.directory / "poise.yaml"
        path.write_text(json.dumps(config, indent=1))
        binary = os.environ.get("POISE", ROOT / "build" / "poise")
        engine = os.environ.get("POISE_ENGINE", "auto")
        self.launch(binary, "run", "-c", path, "--workers", "1", "--engine", engine)
        self.ready()

    @staticmethod
    def present():
        return os.access(os.environ.get("POISE", ROOT / "build" / "poise"), os.X_OK)


def find(variable, *names):
    """The binary that an environment variable names, or the first of `names` that is installed."""
    if os.environ.get(variable):
        return os.environ[variable]
    path = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
    return next(filter(None, (shutil.which(n, path=path) for n in names)), None)


class Nginx(Contender):
    name = "nginx"
    module = Path("/usr/lib/nginx/modules/ngx_stream_module.so")

    def begin(self):
        binary = self.present()
        version = subprocess.run([binary, "-V"], capture_output=True, text=True).stderr
        stream = "--with-stream\n" in version.replace(" ", "\n") or self.module.exists()
        load = (
            f"load_module {self.module};" if "--with-stream=dynamic" in version and stream else ""
        )
        self.http_port = self.hold()
        servers = " ".join(f"server 127.0.0.1:{p};" for p in self.backends)
        tcp = ""
        if stream:
            self.tcp_port = self.hold()
            tcp = f"""stream {{
    upstream app {{ {servers} }}
    server {{ listen 127.0.0.1:{self.tcp_port} backlog=65535; proxy_pass app; }}
}}"""
        d = self.directory
        (d / "nginx.conf").write_text(
            f"""{load}
{"user root;" if os.geteuid() == 0 else ""}
worker_processes 1;
worker_rlimit_nofile {min(60000, FILES)};
daemon off;
pid {d}/pid;
error_log {d}/error.log crit;
events {{ worker_connections {min(60000, FILES)}; }}
http {{
    access_log off;
    client_body_temp_path {d}/body; proxy_temp_path {d}/proxy; fastcgi_temp_path {d}/fastcgi;
    uwsgi_temp_path {d}/uwsgi; scgi_temp_path {d}/scgi;
    keepalive_requests 1000000000; keepalive_timeout 1h;
    tcp_nodelay on; sendfile on;
    upstream app {{
        {servers}
        keepalive 1024; keepalive_requests 1000000000; keepalive_timeout 1h;
    }}
    server {{
        listen 127.0.0.1:{self.http_port} backlog=65535;
        location / {{
            proxy_pass http://app;
            proxy_http_version 1.1;
            proxy_max_temp_file_size 0;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
        }}
    }}
}}
{tcp}
"""
        )
        self.launch(binary, "-e", d / "start.log", "-c", d / "nginx.conf", "-p", d)
        self.ready()

    @staticmethod
    def present():
        return find("NGINX", "nginx")


class Haproxy(Contender):
    name = "haproxy"

    def begin(self):
        self.http_port, self.tcp_port = self.hold(), self.hold()
        servers = "\n".join(
            f"    server b{p} 127.0.0.1:{p} pool-max-conn -1" for p in self.backends
        )
        path = self.directory / "haproxy.cfg"
        path.write_text(
            f"""global
    nbthread 1
    maxconn {CONNECTIONS}
defaults
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    timeout http-keep-alive 1h
frontend http_in
    mode http
    option http-keep-alive
    option forwardfor
    http-request set-header X-Forwarded-Proto http
    bind 127.0.0.1:{self.http_port} backlog 65535
    default_backend http
backend http
    mode http
    balance roundrobin
    http-reuse always
{servers}
frontend tcp_in
    mode tcp
    bind 127.0.0.1:{self.tcp_port} backlog 65535
    default_backend tcp
backend tcp
    mode tcp
    balance roundrobin
{servers.replace(" pool-max-conn -1", "")}
"""
        )
        self.launch(self.present(), "-db", "-f", path)
        self.ready()

    @staticmethod
    def present():
        return find("HAPROXY", "haproxy")


class Relay(Contender):
    """No proxy at all: bytes from one socket to another. The floor."""

    name = "relay"

    def begin(self):
        self.launch(self.present(), *self.backends, stdout=subprocess.PIPE)
        self.http_port = self.tcp_port = json.loads(self.process.stdout.readline())["port"]

    @staticmethod
    def present():
        path = Path(os.environ.get("BENCH_BIN", ROOT / "build" / "bench")) / "relay"
        return path if os.access(path, os.X_OK) else None


KINDS = [Poise, Nginx, Haproxy, Relay]
