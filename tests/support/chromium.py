"""Chromium without a window, driven over a pipe by the DevTools protocol: nothing to install.

A window without a head is 500 px wide at least; the protocol gives pages any width, tells of every
request, console message and exception, and needs no script in the page that is looked at.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or ""
PATIENCE_S = 120
"""For each answer; a loaded machine is slow."""

START = """
import fcntl, os, sys
# Chromium reads commands from descriptor 3 and writes answers to 4; out of their way first.
ours = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3]]
for number, other in zip((3, 4), ours):
    os.dup2(other, number)
os.execv(sys.argv[3], sys.argv[3:])
"""

OPTIONS = (
    "--headless",
    "--no-sandbox",  # tests run as root in containers
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
    # Whatever is asked for, nothing is reached.
    "--host-resolver-rules=MAP * ~NOTFOUND",
)


class Browser:
    """A running Chromium.

    Args:
        commands: Descriptor to write commands to.
        answers: Descriptor to read answers and events from.
    """

    def __init__(self, commands: int, answers: int) -> None:
        self._commands, self._answers = commands, answers
        self._unread = b""
        self._number = 0
        self._session: dict[str, str] = {}
        self.events: list[tuple[str, dict[str, Any]]] = []

    def open(self, page: Path, width: int, *, height: int = 900, dark: bool = False) -> None:
        """Open a page in a new tab, ``width`` px wide, and wait until it has loaded."""
        self._session = {}
        self.events = []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        attached = self.ask("Target.attachToTarget", targetId=target, flatten=True)
        self._session = {"sessionId": attached["sessionId"]}
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])
        self.ask("Page.navigate", url=page.resolve().as_uri())
        while not any(name == "Page.loadEventFired" for name, _ in self.events):
            self._receive()

    def run(self, script: str) -> Any:
        """Return what an expression of JavaScript is in the page; promises are waited for."""
        answer = self.ask(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def screenshot(self, file: Path, *, whole: bool = False) -> None:
        """Save what is seen, or the whole page, as PNG."""
        answer = self.ask("Page.captureScreenshot", captureBeyondViewport=whole)
        file.write_bytes(base64.b64decode(answer["data"]))

    @property
    def complaints(self) -> list[str]:
        """What the console says of errors and warnings, and exceptions that nobody caught."""
        found = []
        for name, event in self.events:
            if name == "Runtime.exceptionThrown":
                found.append(event["exceptionDetails"]["text"])
            elif name == "Runtime.consoleAPICalled" and event["type"] in ("error", "warning"):
                found.append(str([part.get("value") for part in event["args"]]))
            elif name == "Log.entryAdded" and event["entry"]["level"] in ("error", "warning"):
                found.append(event["entry"]["text"])
        return found

    @property
    def requests(self) -> list[str]:
        """The addresses the page asked for, its own included."""
        return [
            e["request"]["url"] for name, e in self.events if name == "Network.requestWillBeSent"
        ]

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and return its answer; events on the way are kept."""
        self._number += 1
        command = {"id": self._number, "method": method, "params": params, **self._session}
        os.write(self._commands, json.dumps(command).encode() + b"\0")
        while True:
            message = self._receive()
            if message.get("id") == self._number:
                assert "error" not in message, f"{method}: {message}"
                result = message["result"]
                assert isinstance(result, dict)
                return result

    def _receive(self) -> dict[str, Any]:
        """Return the next message; keep it if it is an event of this tab."""
        deadline = monotonic() + PATIENCE_S
        while b"\0" not in self._unread:
            ready, _, _ = select.select([self._answers], [], [], max(0, deadline - monotonic()))
            assert ready, f"Chromium said nothing for {PATIENCE_S} s"
            read = os.read(self._answers, 2**20)
            assert read, "Chromium ended"
            self._unread += read
        line, _, self._unread = self._unread.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        if "method" in message and message.get("sessionId") == self._session.get("sessionId"):
            self.events.append((message["method"], message["params"]))
        return message


@contextmanager
def chromium(folder: Path) -> Iterator[Browser]:
    """Start Chromium with an empty profile in ``folder``, and end it."""
    commands_out, commands_in = os.pipe()
    answers_out, answers_in = os.pipe()
    line = [sys.executable, "-c", START, str(commands_out), str(answers_in), PROGRAM]
    environment = os.environ | {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    with (folder / "chromium.log").open("wb") as log:
        process = subprocess.Popen(
            [*line, *OPTIONS, f"--user-data-dir={folder / 'profile'}"],
            pass_fds=(commands_out, answers_in),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
        )
    os.close(commands_out)
    os.close(answers_in)
    try:
        yield Browser(commands_in, answers_out)
    finally:
        os.close(commands_in)
        os.close(answers_out)
        process.terminate()
        try:
            process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
