"""Chromium, for tests that open a page; they are skipped where it or Playwright is missing."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

VARIABLE = "TIRAMISU_CHROMIUM"
"""Environment variable with the path of Chromium, where it has another name."""
NAMES = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def open_chromium(*flags: str) -> Iterator[Any]:
    """A running Chromium, as Playwright's `Browser`."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="tests in a browser need `pip install playwright`"
    )
    found = os.environ.get(VARIABLE) or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(f"no Chromium: run `apt-get install chromium`, or name it in {VARIABLE}")
    with playwright.sync_playwright() as running:
        # Chromium refuses to run as root with its sandbox, and containers often have no other user.
        browser = running.chromium.launch(executable_path=found, args=["--no-sandbox", *flags])
        yield browser
        browser.close()
