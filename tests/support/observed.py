"""Running the command line while its sockets and its writes to files are observed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest

import exprocr

ROOT = Path(exprocr.__file__).parents[1]
STRACE = ("strace", "-f", "-qq", "-y", "-s", "4096", "-e", "signal=none")
CALLS = "%network,open,openat,creat,mkdir,mkdirat,rename,renameat,renameat2,link,linkat"
CALLS += ",symlink,symlinkat,truncate,unlink,unlinkat,rmdir"

NO_NETWORK = ("unshare", "--map-root-user", "--net")

HARMLESS = ("/dev/null", "/dev/tty", "/dev/shm/", "/proc/self/")
"""What processes share with each other, and what the kernel tells a process about itself."""


@dataclass
class Observed:
    """What a process did."""

    sockets: list[str] = field(default_factory=list)
    """System calls on sockets, but for those that ask for the user's name on this machine."""

    written: list[str] = field(default_factory=list)
    """Paths outside the process's own folder that it opened for writing, made, moved or removed."""

    home: list[str] = field(default_factory=list)
    """What lies in its home folder, which was empty."""


@cache
def _works(*command: str) -> bool:
    if shutil.which(command[0]) is None:
        return False
    return subprocess.run([*command, "true"], capture_output=True, timeout=60).returncode == 0


def observe(arguments: Sequence[object], folder: Path, **variables: str) -> Observed:
    """Run ``exprocr`` and return what it did beside its work.

    Without strace it runs where there is no network, and only the home folder is looked at. The
    test is skipped where neither is possible.

    Args:
        arguments: Those of the command line.
        folder: Where it runs, and may write.
        variables: Further environment variables.
    """
    home = folder.with_name(folder.name + "-home")
    home.mkdir()
    log = folder.with_name(folder.name + "-calls")
    if is_traced := _works(*STRACE, "-o", os.devnull):
        wrapper: list[object] = [*STRACE, "-e", f"trace={CALLS}", "-o", log]
    elif _works(*NO_NETWORK):
        wrapper = [*NO_NETWORK]
    else:
        pytest.skip("neither strace nor a network namespace is possible here")
    kept = ("PATH", "LANG", "OMP_NUM_THREADS", "SYSTEMROOT")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    environment |= {"HOME": str(home), "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [*wrapper, sys.executable, "-m", "exprocr", *arguments]
    subprocess.run(
        list(map(str, command)),
        cwd=folder,
        env=environment | variables,
        capture_output=True,
        check=True,
        timeout=300,
    )
    observed = Observed(home=sorted(str(p.relative_to(home)) for p in home.rglob("*")))
    if is_traced:
        for line in log.read_text(errors="replace").splitlines():
            _note(line, folder, observed)
    return observed


def _note(line: str, folder: Path, observed: Observed) -> None:
    """Note a system call that succeeded and does more than read."""
    match = re.match(r"\d+ +(\w+)\((.*)", line)
    if not match or (" = -1 " in line and match[1] != "connect"):
        return
    name, rest = match.groups()
    if name in ("open", "openat"):
        if not re.search(r"O_WRONLY|O_RDWR|O_CREAT|O_TRUNC", rest):
            return
    elif not re.match(r"creat|mkdir|rename|(sym)?link|truncate|unlink|rmdir", name):
        if "AF_UNIX" not in rest and name in ("socket", "connect", "bind", "sendto", "socketpair"):
            observed.sockets.append(line)
        return
    # A path, or a folder's number and name and a path in it.
    for base, path in re.findall(r'(?:<([^>"]*)>, )?"((?:[^"\\]|\\.)*)"', rest):
        place = os.path.normpath(folder / base / path)
        if not place.startswith((f"{folder}/", *HARMLESS)):
            observed.written.append(place)
