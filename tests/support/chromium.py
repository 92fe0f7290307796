"""The system's Chromium, which Playwright drives: no browser is downloaded."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or ""

IS_REQUIRED = os.environ.get("EXPROCR_REQUIRE_BROWSER") == "1"
"""Whether a missing Chromium makes the tests fail, instead of being skipped."""

OPTIONS = (
    "--headless",
    "--no-sandbox",  # tests run as root in containers
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    # Whatever is asked for, nothing is reached.
    "--host-resolver-rules=MAP * ~NOTFOUND",
)


@contextmanager
def start() -> Iterator[Browser]:
    """Start Chromium without a window and with an empty profile, and end it."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=PROGRAM, args=list(OPTIONS))
        try:
            yield browser
        finally:
            browser.close()
