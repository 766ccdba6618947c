"""Serve the page: address, password, limits of what is sent and served."""

import hmac
import os
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from universeg_jax.errors import InputError

LOCAL = ("127.0.0.1", "localhost", "::1")
USER = "universeg"
SLOWEST = 30.0  # seconds that a wrong password is made to wait at most


class Gate:
    """Check user name and password. Every wrong try doubles the time that the next wrong one takes."""

    def __init__(self, password: str):
        self.password = password
        self._wrong = 0
        self._lock = threading.Lock()

    def __call__(self, user: str, password: str) -> bool:
        right = hmac.compare_digest(user.encode(), USER.encode())
        right &= hmac.compare_digest(password.encode(), self.password.encode())
        with self._lock:
            self._wrong = 0 if right else self._wrong + 1
            wait = 0.0 if right else min(SLOWEST, 0.5 * 2 ** (self._wrong - 1))
        time.sleep(wait)
        return right


def gate_for(host: str, password: str | None) -> Gate | None:
    """Return the gate of a host: none on this machine alone, one with a password elsewhere.

    Raises:
        InputError: an empty password.
    """
    if password is not None and not password:
        raise InputError("--password is empty: pass one, or leave it out to have one made")
    if host in LOCAL and password is None:
        return None
    return Gate(password or secrets.token_urlsafe(12))


@contextmanager
def private_cache() -> Iterator[Path]:
    """Keep what Gradio writes of images in a folder of this process alone, and remove it at the end."""
    folder = Path(tempfile.mkdtemp(prefix="universeg-app-"))
    folder.chmod(0o700)
    before = os.environ.get("GRADIO_TEMP_DIR")
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        yield folder
    finally:
        os.environ.pop("GRADIO_TEMP_DIR")
        if before is not None:
            os.environ["GRADIO_TEMP_DIR"] = before
        shutil.rmtree(folder, ignore_errors=True)


def launch_options(host: str, port: int | None, gate: Gate | None) -> dict[str, Any]:
    """Return the options of `Blocks.launch`: nothing is served or fetched but the page itself."""
    from starlette.middleware import Middleware

    from universeg_jax.app.results_stream import HEAD
    from universeg_jax.app.uploads import LARGEST, OnlyPictures

    return {
        "server_name": host,
        "server_port": port,
        "auth": gate,
        "auth_message": f"User name: {USER}. The password was printed where the page was started.",
        "head": HEAD,
        "share": False,
        "quiet": True,
        "max_file_size": LARGEST,
        "app_kwargs": {"middleware": [Middleware(OnlyPictures)]},
        "allowed_paths": [],
        "footer_links": [],
        "enable_monitoring": False,
        "strict_cors": True,
        "ssr_mode": False,
        "pwa": False,
        "mcp_server": False,
        "show_error": True,
    }
