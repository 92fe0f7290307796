"""Programs for `tests.endurance.program`, forked from this process, whose libraries are loaded.

Loading PyTorch takes longer than a tiny training does. A program that is forked has it, and is
otherwise as ``python -m exprocr`` starts it: a session and standard streams of its own, the same
main module, and the same end. For each line of JSON (arguments, folder, files of the streams, limit
on the size of files) this process answers with a process id and, at its end, with an exit code.
"""

from __future__ import annotations

import ctypes
import json
import os
import pkgutil
import resource
import runpy
import signal
import sys
from importlib import import_module

from PIL import Image

import exprocr

LATE = ("matplotlib.backends.backend_agg", "onnxruntime", "torch._dynamo")
"""What the program imports when it needs it."""

PR_SET_PTRACER, ANY = 0x59616D61, -1


def load() -> None:
    """Import all modules of the package."""
    for name in LATE:
        import_module(name)
    for module in pkgutil.walk_packages(exprocr.__path__, "exprocr."):
        if not module.name.endswith(("__main__", "tensorboard")):
            import_module(module.name)
    Image.preinit()


def read_line() -> bytes:
    """Read a line of standard input, and no byte more, because a program reads the next one."""
    line = b""
    while not line.endswith(b"\n") and (byte := os.read(0, 1)):
        line += byte
    return line


def become(request: dict[str, str]) -> None:
    """Make this process, which was just forked, ready to be the program."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):  # which may be ignored, as with nohup
        signal.signal(number, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(PR_SET_PTRACER, ctypes.c_ulong(ANY))
    read_line()  # the reader may attach strace first
    os.chdir(request["folder"])
    for stream, name in enumerate((os.devnull, request["stdout"], request["stderr"])):
        flags = os.O_RDONLY if stream == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        file = os.open(name, flags, 0o644)
        os.dup2(file, stream)
        os.close(file)
    if limit := request["max_file_bytes"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), resource.RLIM_INFINITY))
    sys.argv = ["exprocr", *request["arguments"]]


def serve() -> bool:
    """Start programs until the input ends; return whether this process is one of them."""
    while line := read_line():
        if (pid := os.fork()) == 0:
            become(json.loads(line))
            return True
        os.write(1, f"{pid}\n".encode())
        _, status = os.waitpid(pid, 0)
        os.write(1, f"{os.waitstatus_to_exitcode(status)}\n".encode())
    return False


if __name__ == "__main__":
    load()
    if serve():
        runpy.run_module("exprocr", run_name="__main__", alter_sys=True)
