"""Reads the body of a request, up to a limit."""

from aiohttp import web


class BodyTooLarge(Exception):
    """The body is larger than the limit."""


async def read_body(request: web.BaseRequest, limit: int) -> bytes:
    """The whole body. Raises `BodyTooLarge` if it has more than `limit` bytes."""
    if (request.content_length or 0) > limit:
        raise BodyTooLarge
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        # These bytes do not count as part of the answer.
        request.writer.output_size = 0
    content = bytearray()
    async for chunk in request.content.iter_any():
        content += chunk
        if len(content) > limit:
            raise BodyTooLarge
    return bytes(content)
