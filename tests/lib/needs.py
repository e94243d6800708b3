# SPDX-License-Identifier: MIT
"""Programs that a test can do without."""

import os
import shutil

import pytest


def need(name):
    """The path of a program, also of one for root; where it is not installed the test is skipped."""
    path = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    if not path:
        pytest.skip(f"{name} is not installed")
    return path
