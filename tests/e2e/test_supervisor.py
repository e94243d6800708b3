# SPDX-License-Identifier: MIT
"""The supervisor: an engine that dies is started again on the same sockets, another program takes over
without a failed request, and the engine cannot do what it must not."""

import os
import shutil
import signal
import socket
import subprocess
import time

import memory
import pytest
import web
from programs import BINARY, SANITIZER, SCALE, config, pool, wait_until
from stalled import Stalled

REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
SERVES_AGAIN = r"engine serves again engine=(\d+)"


def gone(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def states(pid):
    """Of its threads."""
    found = set()
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/stat") as f:
            found.add(f.read().rpartition(")")[2].split()[0])
    return found


class Traffic:
    """Kept connections and new ones at the same time. `errors` of both, and answers that are not 200."""

    def __init__(self, port, kept=4, new=2):
        self.kept, self.new = kept, new
        self.loads = [web.Load(port, kept), web.Load(port, new, keep=False)]

    def count(self):
        return sum(load.count() for load in self.loads)

    def go_on(self, requests=200):
        """Waits until so many more were answered on each kind of connection."""
        wanted = [load.count() + requests for load in self.loads]
        wait_until(
            lambda: all(load.count() >= n for load, n in zip(self.loads, wanted)), "the traffic goes on", 30
        )

    def stop(self):
        for load in self.loads:
            load.stop()
        self.errors = [e for load in self.loads for e in load.errors]
        self.other = [s for load in self.loads for s in load.answers if s != 200]
        return self


def test_a_killed_engine_is_back_at_once(start):
    """Only what is under way at that moment is lost."""
    poise = start.poise(config(pool(start.servers(2))))
    traffic = Traffic(poise.port)
    times = []
    for i in range(5):
        traffic.go_on()
        before = poise.engine_pid
        began = time.monotonic()
        os.kill(before, signal.SIGKILL)
        poise.wait_for(SERVES_AGAIN, i + 1)
        assert web.get(poise.port).status == 200
        times.append(time.monotonic() - began)
        assert poise.engine_pid != before
        assert f"engine died; starting it again engine={before} signal=9" in poise.err
    traffic.go_on()
    traffic.stop()
    print("service was back after", *(f"{t * 1000:.0f} ms" for t in times))
    assert not traffic.other
    # At most one exchange of each connection at each death.
    assert len(traffic.errors) <= 5 * (traffic.kept + traffic.new), traffic.errors


def test_connections_that_wait_outlive_the_engine(start):
    poise = start.poise(config(pool(start.servers(1))))
    engine = poise.engine_pid
    os.kill(engine, signal.SIGSTOP)
    wait_until(lambda: states(engine) == {"T"}, "the engine stands still")
    waiting = [web.connect(poise.port) for _ in range(50)]
    for s in waiting:
        s.sendall(REQUEST)
    os.kill(engine, signal.SIGKILL)
    for s in waiting:
        assert s.recv(1000).startswith(b"HTTP/1.1 200")
        s.close()


def test_an_engine_that_dies_all_the_time_is_given_a_pause(start):
    poise = start.poise(config(pool(start.servers(1))))
    for i in range(6):
        os.kill(poise.engine_pid, signal.SIGKILL)
        if i < 5:
            poise.wait_for(SERVES_AGAIN, i + 1)
    poise.wait_for(r"engine died too often; starting it again later engine=\d+ signal=9 .*pause=1s")
    assert web.get(poise.port).status == 200  # it waited
    poise.wait_for(SERVES_AGAIN, 6)
    os.kill(poise.engine_pid, signal.SIGKILL)
    poise.wait_for(r"pause=2s")
    poise.send(signal.SIGTERM)  # nothing runs, and nothing is started any more
    assert poise.wait(5) == 0
    poise.ended = True


def test_a_killed_supervisor_leaves_no_engine_behind(start):
    server = start.server("B1", "--delay", "1s")
    poise = start.poise(config(pool([server])))
    engine = poise.engine_pid
    with web.connect(poise.port) as s:
        s.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        wait_until(lambda: memory.descriptors(engine) > 0, "it runs")
        time.sleep(0.2 * SCALE)
        poise.process.kill()
        assert s.recv(1000).startswith(b"HTTP/1.1 200")  # it drains
    wait_until(lambda: gone(engine), "the engine has ended")
    poise.ended = True
    assert "the supervisor is gone" in poise.err
    again = start.poise(config(pool([server]), listener={"listen": f"127.0.0.1:{poise.port}"}))
    assert web.get(again.port).status == 200


def test_descriptors_and_memory_do_not_grow(start):
    poise = start.poise(config(pool(start.servers(1))))
    os.kill(poise.engine_pid, signal.SIGKILL)
    poise.wait_for(SERVES_AGAIN)
    descriptors, size = memory.descriptors(poise.pid), memory.pss_bytes(poise.pid)
    for i in range(3):
        os.kill(poise.engine_pid, signal.SIGKILL)
        poise.wait_for(SERVES_AGAIN, i + 2)
    assert memory.descriptors(poise.pid) == descriptors
    if SANITIZER is None:  # one that keeps frames of the stack grows with what ran
        assert memory.pss_bytes(poise.pid) < size + 512 * 1024


def test_a_signal_of_the_engine_alone_ends_all(start):
    """Whoever tells the engine to end means the balancer."""
    poise = start.poise(config(pool(start.servers(1))))
    os.kill(poise.engine_pid, signal.SIGTERM)
    assert poise.wait(10) == 0
    poise.ended = True


def test_a_worker_that_does_not_turn_is_named(start):
    poise = start.poise(config(pool(start.servers(1))), "--workers", "2")
    engine = poise.engine_pid
    with Stalled(engine, "worker-1"):
        poise.wait_for(r"does not turn its loop worker=1 for=5s", seconds=20)
        assert web.get(poise.port).status == 200  # of the other one
    poise.wait_for(r"turns its loop again worker=1")
    assert poise.engine_pid == engine


# ---- the program on disk ----


class Installed:
    """A copy of the program that can be replaced."""

    def __init__(self, directory):
        self.path = directory / "installed-poise"
        self.put()

    def replace(self, write):
        new = self.path.with_suffix(".new")
        write(new)
        new.chmod(0o755)
        new.rename(self.path)

    def put(self):
        self.replace(lambda path: shutil.copyfile(BINARY, path))

    def put_script(self, text):
        self.replace(lambda path: path.write_text("#!/bin/sh\n" + text))


@pytest.fixture
def installed(work):
    return Installed(work)


def upgraded(poise, times):
    poise.wait_for(r"supervisor goes on version=\S+ engine=\d+", times, 30)


def test_upgrades_fail_no_request(start, installed):
    poise = start.poise(config(pool(start.servers(2))), binary=installed.path)
    traffic = Traffic(poise.port)
    traffic.go_on()
    descriptors = memory.descriptors(poise.pid)
    engines = {poise.engine_pid}
    for i in range(5):
        installed.put()
        poise.send(signal.SIGUSR2)
        upgraded(poise, i + 1)
        traffic.go_on()
        engines.add(poise.engine_pid)
    traffic.stop()
    assert not traffic.errors and not traffic.other, (traffic.errors, traffic.other)
    assert len(engines) == 6
    poise.wait_for(r"engine before this one has ended", 5)
    assert memory.children(poise.pid) == [poise.engine_pid]
    assert memory.descriptors(poise.pid) == descriptors
    with open(f"/proc/{poise.pid}/exe", "rb") as exe:  # no old code stays behind
        assert os.path.samestat(os.fstat(exe.fileno()), os.stat(installed.path))
    # What was taken over is complete: the next engine can be started, and it ends well.
    os.kill(poise.engine_pid, signal.SIGKILL)
    poise.wait_for(SERVES_AGAIN)
    assert web.get(poise.port).status == 200


@pytest.mark.parametrize(
    "script, why",
    [
        ("exit 1", r"does not accept the configuration: status=1"),
        ("echo 'poise.yaml:1:2: no'; exit 3", r"does not accept the configuration: status=3: poise.yaml:1:2: no"),
        ("[ $1 = check ] || exit 1", r"the new engine died status=1"),
        ("[ $1 = check ] || kill -9 $$", r"the new engine died signal=9"),
        ("[ $1 = check ] || { sleep 1; kill -9 $$; }", r"the new engine died signal=9"),
    ],
    ids=["refuses", "explains", "fails", "crashes", "crashes later"],
)
def test_a_bad_program_changes_nothing(start, installed, script, why):
    poise = start.poise(config(pool(start.servers(1))), binary=installed.path)
    engine = poise.engine_pid
    traffic = Traffic(poise.port, 2, 1)
    installed.put_script(script)
    poise.send(signal.SIGUSR2)
    poise.wait_for(r"no upgrade; the engine before it serves on: .*" + why)
    traffic.go_on()
    traffic.stop()
    assert not traffic.errors and not traffic.other, (traffic.errors, traffic.other)
    assert not gone(engine)
    installed.put()  # and a good one is taken afterwards
    poise.send(signal.SIGUSR2)
    upgraded(poise, 1)
    assert web.get(poise.port).status == 200


def test_no_upgrade_with_a_broken_configuration(start, installed):
    poise = start.poise(config(pool(start.servers(1))), binary=installed.path)
    engine = poise.engine_pid
    good = poise.config_path.read_text()
    poise.config_path.write_text("listeners: [\n  {nmae: web}]\n")
    poise.send(signal.SIGUSR2)
    poise.wait_for(r"no upgrade; .*poise-\d+.yaml:2:4")
    assert web.get(poise.port).status == 200
    os.kill(engine, signal.SIGKILL)  # what is started again runs what ran before
    poise.wait_for(SERVES_AGAIN)
    assert web.get(poise.port).status == 200
    poise.config_path.write_text(good)


def test_a_new_address_comes_with_an_upgrade(start, installed):
    poise = start.poise(config(pool(start.servers(1))), binary=installed.path)
    path = f"{poise.config_path.parent}/new.sock"
    text = poise.config_path.read_text()
    assert '"127.0.0.1:0"' in text
    poise.config_path.write_text(text.replace('"127.0.0.1:0"', f'["127.0.0.1:0", "unix:{path}"]'))
    poise.send(signal.SIGUSR2)
    upgraded(poise, 1)
    assert web.get(poise.port).status == 200
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(path)
        s.sendall(REQUEST)
        assert s.recv(1000).startswith(b"HTTP/1.1 200")
    poise.end()
    assert not os.path.exists(path)


def test_term_cuts_nothing_that_an_engine_before_still_has(start, installed):
    server = start.server("B1", "--delay", "6s")
    poise = start.poise(config(pool([server])), binary=installed.path)
    with web.connect(poise.port) as s:
        s.sendall(REQUEST)
        time.sleep(0.2 * SCALE)
        poise.send(signal.SIGUSR2)
        upgraded(poise, 1)
        poise.send(signal.SIGTERM)
        assert s.recv(1000).startswith(b"HTTP/1.1 200")
    assert poise.wait() == 0
    poise.ended = True


def test_term_ends_an_upgrade(start, installed):
    poise = start.poise(config(pool(start.servers(1))), binary=installed.path)
    installed.put_script("sleep 60")
    poise.send(signal.SIGUSR2)
    poise.wait_for("upgrade begins")
    poise.send(signal.SIGTERM)
    assert poise.wait(10) == 0
    poise.ended = True


def engines(poise):
    """All there are, the one on trial too, in the order of their beginning."""
    found = []
    for pid in sorted(memory.children(poise.pid)):
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            if f.read().split(b"\0")[1:2] == [b"engine"]:
                found.append(pid)
    return found


def on_trial(poise):
    return wait_until(lambda: len(found := engines(poise)) == 2 and found[1], "an engine is on trial")


def test_an_engine_told_to_stop_ends_all_even_during_an_upgrade(start, installed):
    poise = start.poise(config(pool(start.servers(1))), binary=installed.path)
    engine = poise.engine_pid
    poise.send(signal.SIGUSR2)
    trial = on_trial(poise)
    os.kill(engine, signal.SIGTERM)
    assert poise.wait() == 0
    poise.ended = True
    assert gone(trial)


def test_a_reload_during_an_upgrade_is_not_lost(start, installed):
    poise = start.poise(config(pool(start.servers(1))), binary=installed.path)
    path = f"{poise.config_path.parent}/new.sock"
    text = poise.config_path.read_text()
    poise.send(signal.SIGUSR2)
    trial = on_trial(poise)
    poise.config_path.write_text(text.replace('"127.0.0.1:0"', f'["127.0.0.1:0", "unix:{path}"]'))
    poise.send(signal.SIGHUP)
    upgraded(poise, 1)
    assert poise.engine_pid == trial
    poise.wait_for(r"reload  done", 2)
    poise.wait_for(r"engine before this one has ended")
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(path)
        s.sendall(REQUEST)
        assert s.recv(1000).startswith(b"HTTP/1.1 200")


def test_what_a_failed_upgrade_asked_for_is_closed(start, installed):
    poise = start.poise(config(pool(start.servers(1))), binary=installed.path)
    path = f"{poise.config_path.parent}/new.sock"
    text = poise.config_path.read_text()
    poise.config_path.write_text(text.replace('"127.0.0.1:0"', f'["127.0.0.1:0", "unix:{path}"]'))
    installed.put_script(f'[ $1 = check ] && exit 0; {BINARY} "$@" & sleep 1; kill -9 $!; exit 1')
    poise.send(signal.SIGUSR2)
    wait_until(lambda: os.path.exists(path), "the one on trial listens there")
    poise.wait_for(r"no upgrade; the engine before it serves on: the new engine died")
    wait_until(lambda: not os.path.exists(path), "nobody listens there")
    assert web.get(poise.port).status == 200


def test_an_address_of_before_is_closed_with_the_engine_that_had_it(start, work):
    """The admin server moves with the next engine; its former place must not look as if it were there."""
    before, after = work / "before.sock", work / "after.sock"
    poise = start.poise(config(pool(start.servers(1)), admin={"socket": str(before)}))
    text = poise.config_path.read_text()
    poise.config_path.write_text(text.replace(str(before), str(after)))
    poise.send(signal.SIGHUP)
    poise.wait_for(r"reload  done")
    assert before.exists() and not after.exists()
    os.kill(poise.engine_pid, signal.SIGKILL)
    poise.wait_for(SERVES_AGAIN)
    wait_until(after.exists, "the admin server has moved")
    wait_until(lambda: not before.exists(), "its former place is closed")


# ---- the service manager ----


def with_systemd():
    with open(BINARY, "rb") as f:
        return b"sd_notify" in f.read()


@pytest.mark.skipif(not with_systemd(), reason="built without libsystemd")
def test_the_service_manager_is_told(start, work, monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(work / "notify"))
        manager.settimeout(20 * SCALE)
        monkeypatch.setenv("NOTIFY_SOCKET", str(work / "notify"))
        poise = start.poise(config(pool(start.servers(1))))
        assert manager.recv(1000) == b"READY=1"
        poise.send(signal.SIGHUP)
        said = manager.recv(1000).split(b"\n")
        assert said[0] == b"RELOADING=1" and said[1].startswith(b"MONOTONIC_USEC=")
        assert manager.recv(1000) == b"READY=1"
        poise.send(signal.SIGTERM)
        assert manager.recv(1000) == b"STOPPING=1"


@pytest.mark.skipif(not with_systemd(), reason="built without libsystemd")
def test_sockets_of_the_service_manager_are_taken(start, work):
    with socket.socket() as given:
        given.bind(("127.0.0.1", 0))
        given.listen(100)
        port = given.getsockname()[1]
        script = work / "activated"
        script.write_text(f'#!/bin/sh\nLISTEN_PID=$$ LISTEN_FDS=1 exec {BINARY} "$@"\n')
        script.chmod(0o755)
        waiting = web.connect(port)
        waiting.sendall(REQUEST)
        poise = start.poise(
            config(pool(start.servers(1)), listener={"listen": [f"127.0.0.1:{port}", "127.0.0.1:0"]}),
            binary=script,
            preexec_fn=lambda: os.dup2(given.fileno(), 3),
            pass_fds=(3,),
        )
        assert waiting.recv(1000).startswith(b"HTTP/1.1 200")
        waiting.close()
        assert poise.ports[0] == port and poise.ports[1] != port
        for i in range(20):
            assert web.get(poise.ports[i % 2]).status == 200
        os.kill(poise.engine_pid, signal.SIGKILL)
        poise.wait_for(SERVES_AGAIN)
        assert web.get(port).status == 200
        poise.end()
        web.connect(port).close()  # the socket is the manager's: it still listens


# ---- what the engine may not do ----


@pytest.mark.skipif(SANITIZER is not None, reason="a sanitizer needs what the sandbox forbids")
@pytest.mark.parametrize("what", ["open", "write", "exec", "ptrace", "socket", "bind", "kill", "fork", "dump"])
def test_forbidden_calls_are_refused(what):
    done = subprocess.run(
        [BINARY, "engine", "--probe"], env=os.environ | {"POISE_SANDBOX_PROBE": what}, capture_output=True, text=True
    )
    if "landlock=0" in done.stdout and what in ("write", "bind", "kill") and done.returncode == 1:
        pytest.skip("this kernel has no Landlock")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{what}: allowed" not in done.stdout


@pytest.mark.skipif(SANITIZER is not None, reason="a sanitizer needs what the sandbox forbids")
def test_the_engine_has_no_rights(start):
    poise = start.poise(config(pool(start.servers(1))))
    with open(f"/proc/{poise.engine_pid}/status") as f:
        status = dict(line.rstrip("\n").split(":\t") for line in f if ":\t" in line)
    for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert int(status[kind], 16) == 0, kind
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] in ("0", "2")
    if os.geteuid() == 0:
        assert int(status["CapBnd"], 16) == 0
        assert "0" not in status["Uid"].split()
        assert "0" not in status["Gid"].split()


def test_an_unknown_user_is_refused(start, work):
    if os.geteuid() != 0 or SANITIZER:
        pytest.skip("only root becomes another user")
    path = work / "user.yaml"
    path.write_text("user: nobody-of-that-name\nlisteners: [{name: a, listen: '127.0.0.1:0', pool: p}]\n"
                    "pools: [{name: p, backends: ['127.0.0.1:1']}]\n")
    done = subprocess.run([BINARY, "run", "-c", path], capture_output=True, text=True, timeout=60)
    assert done.returncode == 4
    assert "there is no user 'nobody-of-that-name'" in done.stderr
