"""A local HTTP server of one file, with the habits of servers on the network, good and bad."""

import threading
import time
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FileServer:
    """Serves `content` at every path.

    Attributes:
        breaks_after: bytes of a body after which the connection is cut; None sends it all.
        ranges, etag: whether it resumes, and what it calls this version; None calls it nothing.
        ignores_if_range: whether it resumes although the file is another one now.
        status, content_type, encoding: of its answers.
        redirects_to: address that it sends instead of the file.
        seconds_between_bytes: pause after each byte of a body.
        hangs_after: bytes after which it says nothing more for a second.
        requests: the headers of all requests so far.
    """

    def __init__(self, content: bytes):
        self.content = content
        self.breaks_after = None
        self.ranges, self.etag, self.ignores_if_range = True, '"1"', False
        self.status, self.content_type = 200, "application/octet-stream"
        self.declares_length = True
        self.encoding = self.redirects_to = self.hangs_after = None
        self.seconds_between_bytes = 0
        self.requests = []
        self.url = ""

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        self.requests.append(dict(request.headers))
        if self.redirects_to:
            request.send_response(302)
            request.send_header("Location", self.redirects_to)
            request.end_headers()
            return
        start, status = 0, self.status
        asked = request.headers.get("Range")
        same = self.ignores_if_range or request.headers.get("If-Range") == self.etag
        if asked and self.ranges and same:
            start, status = int(asked.removeprefix("bytes=").removesuffix("-")), 206
            if start >= len(self.content):
                request.send_error(416)
                return
        body = self.content[start:]
        request.send_response(status)
        request.send_header("Content-Type", self.content_type)
        if self.declares_length:
            request.send_header("Content-Length", str(len(body)))
        if self.encoding:
            request.send_header("Content-Encoding", self.encoding)
        if self.etag:
            request.send_header("ETag", self.etag)
        if status == 206:
            request.send_header("Content-Range", f"bytes {start}-{len(self.content) - 1}/{len(self.content)}")
        request.end_headers()
        with suppress(ConnectionError):
            self._send(request.wfile, body[: self.breaks_after])

    def _send(self, stream, body: bytes) -> None:
        if self.hangs_after is not None:
            stream.write(body[: self.hangs_after])
            stream.flush()
            time.sleep(1)
        elif self.seconds_between_bytes:
            for i in range(len(body)):
                stream.write(body[i : i + 1])
                stream.flush()
                time.sleep(self.seconds_between_bytes)
        else:
            stream.write(body)


@contextmanager
def serve(content: bytes):
    server = FileServer(content)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            server.answer(self)

        def log_message(self, *_):
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}).start()
    server.url = f"http://127.0.0.1:{http.server_port}/weights/file.pt"
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
