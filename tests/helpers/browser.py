"""Headless Chromium, in which pages are tried."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install 'genrun[test]'")
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
needs_browser = pytest.mark.skipif(
    CHROMIUM is None, reason="there is no Chromium on this machine; on Debian and Ubuntu: apt-get install chromium"
)


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    """Start the system's Chromium without a window."""
    with sync_api.sync_playwright() as playwright:
        # as root, and in a container without the right to make name spaces, Chromium starts only without its sandbox
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def watched(context: Any, own: tuple[str, ...], complaints: list[str]) -> Any:
    """Open an empty page that writes down whatever it complains of, and whatever it asks for elsewhere.

    Args:
        own: the beginnings of the addresses that it may ask for.
        complaints: get a line for each.
    """
    page = context.new_page()
    page.set_default_timeout(10_000)
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    page.on("request", lambda asked: asked.url.startswith(own) or complaints.append(asked.url))
    return page
