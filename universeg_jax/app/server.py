"""Serve the page: address, password, limits of uploads and files, and a stream of results that stays open."""

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
SLOWEST = 30.0  # longest wait after a wrong password, in seconds


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


LARGEST = 2**26
"""Bytes of the largest upload. The layer of a picture of 64 million pixels is smaller."""

PNG = b"\x89PNG\r\n\x1a\n"


class OnlyPictures:
    """ASGI middleware that refuses uploads of anything but PNG pictures, before they are written to the disk.

    Args:
        app: the application that it protects.
    """

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope: dict[str, Any], receive, send) -> None:
        """Pass a request on, or answer an upload that is refused with 413 or 415."""
        if scope["type"] != "http" or scope["method"] != "POST" or not scope["path"].rstrip("/").endswith("/upload"):
            await self.app(scope, receive, send)
            return
        body, more = bytearray(), True
        while more and len(body) <= LARGEST:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        if len(body) > LARGEST:
            await _refuse(send, 413, f"an upload may have {LARGEST} bytes")
            return
        if not _is_pictures(bytes(body), dict(scope["headers"]).get(b"content-type", b"")):
            await _refuse(send, 415, "only PNG pictures may be uploaded")
            return
        sent = False

        async def again() -> dict[str, Any]:
            nonlocal sent
            if sent:
                return await receive()
            sent = True
            return {"type": "http.request", "body": bytes(body), "more_body": False}

        await self.app(scope, again, send)


def _is_pictures(body: bytes, content_type: bytes) -> bool:
    """Tell whether each part of a multipart body is a PNG picture."""
    kind, _, boundary = content_type.partition(b"boundary=")
    boundary = boundary.strip(b'"')
    if b"multipart/form-data" not in kind or not boundary:
        return False
    parts = body.split(b"--" + boundary)[1:-1]
    contents = [part.partition(b"\r\n\r\n")[2] for part in parts]
    return bool(contents) and all(content.startswith(PNG) for content in contents)


async def _refuse(send, status: int, reason: str) -> None:
    headers = [(b"content-type", b"text/plain"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": reason.encode()})


# Gradio sends the results of all events through one stream, and closes it when no event waits. Its server can decide
# that just before the next event joins, and a busy browser can read the answer to that event before it reads the close.
# Gradio's script then opens no new stream, and the event waits for ever: often the drawing of the first mask.
SCRIPT = """
(() => {
  const send = window.fetch;
  const waiting = new Set();  // events without a result
  const early = new Set();  // events with a result, whose answer to joining was not read yet

  const joined = ({event_id}) => { if (event_id && !early.delete(event_id)) waiting.add(event_id); };
  const completed = (id) => { if (!waiting.delete(id)) early.add(id); };
  const read = (message) => { try { return JSON.parse(message.replace(/^data: /, "")); } catch { return {}; } };

  // Copy the stream message by message. Leave out a close that comes while an event waits, and connect again.
  async function copy(request, body, out) {
    const encoder = new TextEncoder();
    for (let again = true; again; ) {
      again = false;
      const reader = body.pipeThrough(new TextDecoderStream()).getReader();
      for (let text = "", part; !(part = await reader.read()).done; ) {
        const messages = (text + part.value).split("\\n\\n");
        text = messages.pop();
        for (const message of messages) {
          const {msg, event_id} = read(message);
          if (msg === "process_completed") completed(event_id);
          if (msg === "close_stream" && waiting.size) again = true;
          else out.enqueue(encoder.encode(message + "\\n\\n"));
        }
      }
      if (again) body = (await send(request)).body;
    }
    out.close();
  }

  window.fetch = async (request, options) => {
    const answer = await send(request, options);
    const path = new URL(request.url ?? request, window.location).pathname;
    if (answer.ok && path.endsWith("/queue/join")) joined(await answer.clone().json());
    if (!answer.ok || !path.endsWith("/queue/data")) return answer;
    const start = (out) => { copy(request, answer.body, out).catch((error) => out.error(error)); };
    return new Response(new ReadableStream({start}), answer);
  };
})();
"""
HEAD = f"<script>{SCRIPT}</script>"
