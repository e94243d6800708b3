# SPDX-License-Identifier: MIT
"""The proxies that are compared: the same features, one worker unless told otherwise.

Every contender forwards HTTP (`http_port`) and, where it can, TCP (`tcp_port`) to the backends given, which
are ports of 127.0.0.1 or addresses. Options, the same for all:

  workers   threads or, for nginx, processes
  balance   one of Poise's policies; each has its like, see the tables below
  log       None, or a form of access log that the contender knows (LOGS)
  tcp       False leaves TCP out
  cert      a file with a certificate and its key: HTTPS besides (`https_port`, with HTTP/2 by ALPN) and
            HTTP/2 in clear (`h2_port`)
  backends_h2  the backends are spoken to over HTTP/2

What a contender turns out not to do has no port.
"""

import json
import os
import re
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
from probes import speaks_h2, speaks_http, speaks_tls  # noqa: E402
from programs import Held, wait_until  # noqa: E402


FILES = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "NGINX"}  # nginx reads it as sockets
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


def find(variable, *names):
    """The binary that an environment variable names, or the first of `names` that is installed."""
    if os.environ.get(variable):
        return os.environ[variable]
    path = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
    return next(filter(None, (shutil.which(n, path=path) for n in names)), None)


class Contender:
    """A proxy as a child process on the CPUs given. `variant` tells two of the same kind apart."""

    name = None
    http_port = tcp_port = https_port = h2_port = https_h2_port = None
    LOGS = ()

    def __init__(
        self, backends, directory, cpus, variant="",
        workers=1, balance="round_robin", log=None, tcp=True, start=True,
        cert=None, backends_h2=False,
    ):  # fmt: skip
        self.label = self.name + variant
        self.directory = Path(directory) / self.label
        self.directory.mkdir(exist_ok=True)
        self.addresses = [b if isinstance(b, str) else f"127.0.0.1:{b}" for b in backends]
        self.cpus = {cpus} if isinstance(cpus, int) else set(cpus)
        self.workers, self.balance, self.log, self.tcp = workers, balance, log, tcp
        self.cert, self.backends_h2 = cert, backends_h2
        self.held = []
        self.process = None
        if cert:
            self.https_port, self.h2_port = self.hold(), self.hold()
        self.configure()
        if start:
            self.start()

    def hold(self):
        held = Held()
        self.held.append(held)
        return held.port

    def configure(self):
        """Takes ports and writes the configuration."""

    def start(self):
        self.launch()
        self.ready()

    def launch(self):
        with open(self.directory / "errors", "wb") as err, open(self.directory / "out", "wb") as out:
            self.process = subprocess.Popen(
                [str(a) for a in self.command()],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=ENVIRONMENT,
                preexec_fn=lambda: os.sched_setaffinity(0, self.cpus),
            )

    def ready(self):
        for port in filter(None, (self.http_port, self.tcp_port, self.https_port, self.h2_port)):
            wait_until(lambda p=port: answers(p) or self.gone(), f"{self.label} listens", 30)
        self.probe()

    def probe(self):
        """Leaves only the ports whose protocol is spoken."""
        if self.backends_h2 and not speaks_http(self.http_port):
            self.http_port = None
        if self.cert:
            self.https_h2_port = self.https_port if speaks_tls(self.https_port, "h2") else None
            self.https_port = self.https_port if speaks_tls(self.https_port, "http/1.1") else None
            self.h2_port = self.h2_port if speaks_h2(self.h2_port) else None

    def gone(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.label} ended: {(self.directory / 'errors').read_text()}")
        return False

    def pids(self):
        return family(self.process.pid)

    def pss(self):
        return sum(pss_bytes(pid) for pid in self.pids())

    def stop(self):
        """Ends the process; it can be started again."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(2)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def end(self):
        self.stop()
        for held in self.held:
            held.close()
        shutil.rmtree(self.directory, ignore_errors=True)


def version_of(binary, flag):
    """The version number that a program tells."""
    done = subprocess.run([binary, flag], capture_output=True, text=True)
    found = re.search(r"\d+(\.\d+)+", done.stdout + done.stderr)
    return found[0] if found else "?"


class Poise(Contender):
    """Access logs: json is its default, combined what the others write."""

    name = "poise"
    LOGS = ("json", "combined")

    def configure(self):
        backends = [{"name": f"b{i}", "address": a} for i, a in enumerate(self.addresses)]
        options = {
            "health": {"type": "none"},
            "balance": self.balance,
            "backends": backends,
            "keepalive": {"max_idle": 1024},
        }
        self.http_port = self.hold()
        ports = {"http": self.http_port}
        if self.tcp:
            ports["tcp"] = self.tcp_port = self.hold()
        config = {
            "workers": self.workers,
            "listeners": [
                {"name": k, "listen": f"127.0.0.1:{port}", "protocol": k, "pool": k}
                for k, port in ports.items()
            ],
            "pools": [{"name": k, "protocol": k} | options for k in ports],
        }
        if self.backends_h2:
            config["pools"][0]["protocol"] = "http2"
        if self.cert:
            tls = {"certificates": [{"cert": str(self.cert)}]}
            for name, port, more in (("https", self.https_port, {"tls": tls}), ("h2", self.h2_port, {})):
                listener = {"name": name, "listen": f"127.0.0.1:{port}", "pool": "http", "http2": True}
                config["listeners"].append(listener | more)
        if self.log:
            config["access_log"] = {"file": str(self.directory / "access.log"), "format": self.log}
        self.path = self.directory / "poise.yaml"
        self.path.write_text(json.dumps(config, indent=1))

    def command(self):
        engine = os.environ.get("POISE_ENGINE", "auto")
        return self.binary(), "run", "-c", self.path, "--engine", engine

    def check(self):
        return self.binary(), "check", "-c", self.path

    @staticmethod
    def binary():
        return os.environ.get("POISE", ROOT / "build" / "poise")

    @classmethod
    def present(cls):
        return os.access(cls.binary(), os.X_OK)

    @classmethod
    def version(cls):
        return version_of(cls.binary(), "--version")


NGINX_BALANCE = {
    "round_robin": "",
    "least_connections": "least_conn;",
    "random": "random;",
    "p2c": "random two least_conn;",
    "source_hash": "hash $remote_addr consistent;",
}


class Nginx(Contender):
    """Access logs: plain is what it does by default, a write for each record; buffered collects them."""

    name = "nginx"
    module = Path("/usr/lib/nginx/modules/ngx_stream_module.so")
    LOGS = ("plain", "buffered")

    def configure(self):
        version = subprocess.run([self.present(), "-V"], capture_output=True, text=True).stderr
        stream = "--with-stream\n" in version.replace(" ", "\n") or self.module.exists()
        load = (
            f"load_module {self.module};" if "--with-stream=dynamic" in version and stream else ""
        )
        self.http_port = self.hold()
        servers = NGINX_BALANCE[self.balance] + "\n".join(f"server {a};" for a in self.addresses)
        tcp = ""
        if stream and self.tcp:
            self.tcp_port = self.hold()
            tcp = f"""stream {{
    upstream app {{ {servers} }}
    server {{ listen 127.0.0.1:{self.tcp_port} backlog=65535; proxy_pass app; }}
}}"""
        d = self.directory
        version = 2 if self.backends_h2 else 1.1
        location = f"""location / {{
            proxy_pass http://app;
            proxy_http_version {version};
            proxy_max_temp_file_size 0;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
        }}"""
        log = {
            None: "off",
            "plain": f"{d}/access.log combined",
            "buffered": f"{d}/access.log combined buffer=64k flush=1s",
        }[self.log]
        (d / "nginx.conf").write_text(
            f"""{load}
{"user root;" if os.geteuid() == 0 else ""}
worker_processes {self.workers};
worker_rlimit_nofile {min(60000, FILES)};
daemon off;
pid {d}/pid;
error_log {d}/error.log crit;
events {{ worker_connections {min(60000, FILES)}; }}
http {{
    access_log {log};
    client_body_temp_path {d}/body; proxy_temp_path {d}/proxy; fastcgi_temp_path {d}/fastcgi;
    uwsgi_temp_path {d}/uwsgi; scgi_temp_path {d}/scgi;
    keepalive_requests 1000000000; keepalive_timeout 1h;
    tcp_nodelay on; sendfile on; client_body_buffer_size 128k;
    upstream app {{
        {servers}
        keepalive {max(1024, len(self.addresses))};
        keepalive_requests 1000000000; keepalive_timeout 1h;
    }}
    server {{
        listen 127.0.0.1:{self.http_port} backlog=65535;
        {location}
    }}
    {self.secure(location)}
}}
{tcp}
"""
        )

    def secure(self, location):
        if not self.cert:
            return ""
        old = tuple(map(int, self.version().split("."))) < (1, 25, 1)
        flag, line = (" http2", "") if old else ("", "http2 on;")
        return f"""server {{
        listen 127.0.0.1:{self.https_port} ssl{flag} backlog=65535; {line}
        ssl_certificate {self.cert}; ssl_certificate_key {self.cert};
        ssl_protocols TLSv1.2 TLSv1.3;
        {location}
    }}
    server {{
        listen 127.0.0.1:{self.h2_port}{flag} backlog=65535; {line}
        {location}
    }}"""

    def command(self):
        d = self.directory
        return self.present(), "-e", d / "start.log", "-c", d / "nginx.conf", "-p", d

    def check(self):
        return *self.command(), "-t"

    @staticmethod
    def present():
        return find("NGINX", "nginx")

    @classmethod
    def version(cls):
        return version_of(cls.present(), "-v")


HAPROXY_BALANCE = {
    "round_robin": "balance roundrobin",
    "least_connections": "balance leastconn",
    "random": "balance random(1)",
    "p2c": "balance random(2)",
    "source_hash": "balance source\n    hash-type consistent",
}
ROUND_ROBIN_MAX = 4095  # servers of "roundrobin"; more need "static-rr"


class Haproxy(Contender):
    """Access logs: httplog to standard output, as in containers, which here is a file."""

    name = "haproxy"
    LOGS = ("httplog",)

    def configure(self):
        self.http_port = self.hold()
        balance = HAPROXY_BALANCE[self.balance]
        if len(self.addresses) > ROUND_ROBIN_MAX:
            balance = balance.replace(" roundrobin", " static-rr")
        proto = " proto h2" if self.backends_h2 else ""
        servers = "\n".join(f"    server b{i} {a}{proto}" for i, a in enumerate(self.addresses))
        secure = ""
        if self.cert:
            tls = f"ssl crt {self.cert} ssl-min-ver TLSv1.2 alpn h2,http/1.1"
            secure = f"""bind 127.0.0.1:{self.https_port} backlog 65535 {tls}
    bind 127.0.0.1:{self.h2_port} backlog 65535 proto h2"""
        tcp = ""
        if self.tcp:
            self.tcp_port = self.hold()
            tcp = f"""frontend tcp_in
    mode tcp
    bind 127.0.0.1:{self.tcp_port} backlog 65535
    default_backend tcp
backend tcp
    mode tcp
    {balance}
{servers}"""
        self.path = self.directory / "haproxy.cfg"
        self.path.write_text(
            f"""global
    nbthread {self.workers}
    maxconn {CONNECTIONS}
    tune.pool-low-fd-ratio 90
    tune.pool-high-fd-ratio 95
    {"log stdout format raw local0" if self.log else ""}
defaults
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    timeout http-keep-alive 1h
frontend http_in
    mode http
    {"log global" if self.log else ""}
    {"option httplog" if self.log else ""}
    option http-keep-alive
    option forwardfor
    http-request set-header X-Forwarded-Proto {"%[ssl_fc,iif(https,http)]" if self.cert else "http"}
    bind 127.0.0.1:{self.http_port} backlog 65535
    {secure}
    default_backend http
backend http
    mode http
    {balance}
    http-reuse always
    default-server pool-max-conn -1
{servers}
{tcp}
"""
        )

    def command(self):
        return self.present(), "-db", "-f", self.path

    def check(self):
        return self.present(), "-c", "-f", self.path

    @staticmethod
    def present():
        return find("HAPROXY", "haproxy")

    @classmethod
    def version(cls):
        return version_of(cls.present(), "-v")


class Relay(Contender):
    """No proxy at all: bytes from one socket to another. The floor."""

    name = "relay"

    def command(self):
        return self.present(), *(a.rpartition(":")[2] for a in self.addresses)

    def ready(self):
        out = self.directory / "out"
        wait_until(lambda: out.read_text().endswith("\n") or self.gone(), "the relay listens")
        self.http_port = self.tcp_port = json.loads(out.read_text())["port"]

    @staticmethod
    def present():
        path = Path(os.environ.get("BENCH_BIN", ROOT / "build" / "bench")) / "relay"
        return path if os.access(path, os.X_OK) else None

    @staticmethod
    def version():
        return "-"


KINDS = [Poise, Nginx, Haproxy, Relay]
