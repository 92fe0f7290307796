"""Memory that is kept between training steps, and given back now and then."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

SCRIPT = """
import resource
from exprocr.core.system.memory import keep_freed_memory, return_freed_memory

def resident_mb():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20

keep_freed_memory()
maps = [b"x" * 2**20 for _ in range(400)]
full = resident_mb()
del maps[::2]  # gaps, none of them at the end
kept = resident_mb()
return_freed_memory()
print(full - kept, kept - resident_mb())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told to keep memory")
def test_freed_memory_is_kept_until_it_is_returned() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True)
    assert not done.stderr
    freed, returned = map(float, done.stdout.split())
    assert freed < 10
    assert 190 < returned < 210
