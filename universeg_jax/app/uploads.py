"""Limit what a browser may send: PNG pictures up to a size, as the editor sends them."""

from typing import Any

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
