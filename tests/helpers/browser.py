"""A real browser for tests of the page: one on the PATH, or one that is installed for the tests."""

import os
import shutil
import subprocess
import sys

from playwright.sync_api import Browser, Page, Playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-dev-shm-usage",
    "--enable-unsafe-swiftshader",
]


def find_browser() -> str | None:
    """Return the path of a Chromium or Chrome on the PATH, or None for playwright's own.

    Raises:
        RuntimeError: there is none and none can be installed.
    """
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is not None:
        return found
    tried = [[sys.executable, "-m", "playwright", "install", "chromium"]]
    if hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get"):
        tried += [["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", "chromium"]]
    for command in tried:
        done = subprocess.run(command, capture_output=True, timeout=600)
        if done.returncode == 0 and command[-1] == "chromium":
            return shutil.which("chromium")
    raise RuntimeError("tests of the page need Chromium or Chrome: install one and put it on the PATH")


def start_browser(playwright: Playwright) -> Browser:
    """Start a browser without a window."""
    return playwright.chromium.launch(executable_path=find_browser(), args=OPTIONS)


def new_page(browser: Browser, *, width: int = 1600, height: int = 1000, dark: bool = False) -> Page:
    """Return an empty page. Its `outside` lists every request to another machine."""
    scheme = "dark" if dark else "light"
    page = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme).new_page()
    page.set_default_timeout(120_000)
    page.outside = []
    page.on("request", lambda request: _note(page.outside, request.url))
    return page


def _note(outside: list[str], url: str) -> None:
    if not url.startswith(("data:", "blob:", "http://127.0.0.1:")):
        outside.append(url)
