"""Download from servers that break the rules."""

import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from experiments.faults.record import Tries
from universeg_jax.errors import WeightsError
from universeg_jax.weights import fetch

CONTENT = bytes(range(256)) * 400
Answer = Callable[[BaseHTTPRequestHandler], None]


def hostile(place: Path, *, times: int) -> list[Tries]:
    """Download from each hostile server: the download must fail with a reason, in time, and leave no file."""
    results = []
    for name, answer in ANSWERS.items():
        outcomes = []
        for i in range(times):
            file = place / f"{i}.pt"
            with _serve(answer) as url:
                outcomes.append(_try(url, file))
            for left in place.glob(f"{file.name}*"):
                left.unlink()
        results.append(Tries.of("server", name, "the download is refused with a reason, and no file appears", outcomes))
    return results


def _try(url: str, file: Path) -> str:
    began = time.monotonic()
    try:
        fetch.download(url, file, most=len(CONTENT), timeout=1, progress=False)
    except WeightsError as error:
        if file.exists():
            return "a file appeared"
        return "" if url in str(error) and time.monotonic() - began < 30 else "too late"
    except Exception as error:
        return f"traceback: {type(error).__name__}"
    return "the file was accepted"


def _head(request: BaseHTTPRequestHandler, status: int = 200, **headers: str) -> None:
    request.send_response(status)
    request.send_header("Content-Type", "application/octet-stream")
    for name, value in headers.items():
        request.send_header(name.replace("_", "-"), value)
    request.end_headers()


def _endless(request: BaseHTTPRequestHandler) -> None:
    _head(request)
    while True:
        request.wfile.write(CONTENT)


def _dribble(request: BaseHTTPRequestHandler) -> None:
    _head(request, Content_Length=str(len(CONTENT)))
    for byte in CONTENT:
        request.wfile.write(bytes([byte]))
        request.wfile.flush()
        time.sleep(0.02)


def _hang(request: BaseHTTPRequestHandler) -> None:
    _head(request, Content_Length=str(len(CONTENT)))
    request.wfile.write(CONTENT[:1000])
    request.wfile.flush()
    time.sleep(2)


def _cut(request: BaseHTTPRequestHandler) -> None:
    _head(request, Content_Length=str(len(CONTENT)))
    request.wfile.write(CONTENT[:1000])


def _too_long(request: BaseHTTPRequestHandler) -> None:
    _head(request, Content_Length=str(10**12))


def _page(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.send_header("Content-Type", "text/html")
    request.end_headers()
    request.wfile.write(b"<html>sign in</html>")


def _encoded(request: BaseHTTPRequestHandler) -> None:
    _head(request, Content_Encoding="gzip")
    request.wfile.write(CONTENT)


def _redirect_to(place: str) -> Answer:
    return lambda request: _head(request, 302, Location=place)


def _loop(request: BaseHTTPRequestHandler) -> None:
    _head(request, 302, Location=request.path)


def _nonsense(request: BaseHTTPRequestHandler) -> None:
    request.wfile.write(b"\xff" * 1000)


ANSWERS: dict[str, Answer] = {
    "endless body": _endless,
    "a byte every 0.02 s": _dribble,
    "hang after 1000 bytes": _hang,
    "body cut short": _cut,
    "length of a terabyte": _too_long,
    "web page": _page,
    "gzip body": _encoded,
    "redirection to ftp": _redirect_to("ftp://127.0.0.1/file"),
    "redirection to http elsewhere": _redirect_to("http://example.org/file"),
    "redirection to a file": _redirect_to("file:///etc/passwd"),
    "redirection to itself": _loop,
    "no HTTP": _nonsense,
    "not found": lambda request: _head(request, 404),
}


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address) -> None:
        """Say nothing: the client has left, as it should."""


@contextmanager
def _serve(answer: Answer) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, *_) -> None:
            pass

    server = _Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/file.pt"
    finally:
        server.shutdown()
        socketserver.BaseServer.server_close(server)
