# SPDX-License-Identifier: MIT
"""What /metrics answers, read as Prometheus reads it."""

import re
import shutil
import subprocess

SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$")
LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\\n]|\\[\\"n])*)"(?:,|$)')


class Metrics:
    """`samples` by name and labels. A sample that is there twice is a failure."""

    def __init__(self, text):
        self.text, self.samples, self.types = text, {}, {}
        for line in text.splitlines():
            if line.startswith("# TYPE "):
                _, _, name, kind = line.split(" ")
                assert name not in self.types, line
                self.types[name] = kind
            elif not line.startswith("#"):
                self._take(line)

    def _take(self, line):
        found = SAMPLE.match(line)
        assert found, line
        name, labels, value = found.groups()
        pairs = LABEL.findall(labels or "")
        assert LABEL.sub("", labels or "") == "", line
        key = (name, tuple(sorted(pairs)))
        assert key not in self.samples, f"twice: {line}"
        assert re.sub(r"_(bucket|sum|count)$", "", name) in self.types or name in self.types, line
        self.samples[key] = float(value)

    def get(self, name, **labels):
        """The sum of all samples of that name that have these labels; None where there is none."""
        wanted = set(labels.items())
        found = [v for (n, pairs), v in self.samples.items() if n == name and wanted <= set(pairs)]
        return sum(found) if found else None

    def counters(self):
        """Everything that may only grow."""
        ends = ("_total", "_bucket", "_sum", "_count")
        return {k: v for k, v in self.samples.items() if k[0].endswith(ends)}


def scrape(admin):
    answer = admin.ask("GET", "/metrics")
    assert answer.status == 200, answer
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    return Metrics(answer.body.decode())


def promtool(*words, text=None):
    """Runs Prometheus' own checks; they must find nothing to say."""
    program = shutil.which("promtool")
    assert program, "promtool is not installed (make test-deps installs it)"
    done = subprocess.run([program, *words], input=text, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
