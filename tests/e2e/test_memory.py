# SPDX-License-Identifier: MIT
"""What an idle connection costs."""

import os
import resource

import memory
import pytest
from load import LoadTool
from programs import SANITIZER, config, pool

CONNECTIONS = 4000


@pytest.mark.skipif(SANITIZER is not None, reason="a sanitizer's own memory would be measured")
def test_idle_keepalive_connection(start):
    """At most 512 bytes of user memory: growth of PSS over 4,000 idle connections, each of which has
    had one request answered."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < CONNECTIONS + 1000:
        pytest.skip(f"only {hard} descriptors are allowed here")
    tool = LoadTool()
    try:
        raised = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        # Meson has malloc fill what it gives, which touches pages that nobody has used yet.
        env = {k: v for k, v in os.environ.items() if k != "MALLOC_PERTURB_"}
        settings = config(pool(tool.backends))
        poise = start.poise(settings, "--workers", "1", preexec_fn=raised, env=env)
        tool.run(poise.port, 10_000)
        before = memory.pss_bytes(poise.engine_pid)
        answer = tool.ask("open", poise.port, CONNECTIONS)
        assert answer == {"open": CONNECTIONS, "errors": 0}
        assert memory.descriptors(poise.engine_pid) > CONNECTIONS
        growth = memory.pss_bytes(poise.engine_pid) - before
        assert growth <= 512 * CONNECTIONS, f"{growth / CONNECTIONS:.0f} bytes each"
    finally:
        tool.end()
