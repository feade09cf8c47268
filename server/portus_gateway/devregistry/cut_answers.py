"""Answers that end before their announced length."""

from aiohttp import web


class CutAnswer(web.Response):
    """An answer that announces more bytes than it has, and then closes the connection."""

    def __init__(self, whole: web.Response, announced_length: int) -> None:
        super().__init__(status=whole.status, body=whole.body, headers=whole.headers)
        self._announced_length = announced_length

    async def send(self, request: web.BaseRequest) -> web.StreamResponse:
        body = self.body if isinstance(self.body, bytes) else b""
        return await send_cut(request, self, body, self._announced_length)


async def send_cut(
    request: web.BaseRequest, answer: web.Response, sent: bytes, announced_length: int
) -> web.StreamResponse:
    """Sends the head of `answer` with the announced length, the bytes of `sent`, and closes the connection."""
    cut = web.StreamResponse(status=answer.status, headers=answer.headers)
    cut.headers.popall("Content-Length", None)
    cut.content_length = announced_length
    cut.force_close()
    await cut.prepare(request)
    await cut.write(sent)
    transport = request.transport
    if transport is not None:
        transport.close()
    return cut
