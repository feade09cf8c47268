"""Applies a fault to an HTTP exchange."""

import asyncio
import json
import socket
import struct
import zlib
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import cache
from types import MappingProxyType

from aiohttp import web

from portus_gateway.devregistry.cut_answers import send_cut
from portus_gateway.devregistry.errors import RegistryError, error_response
from portus_gateway.devregistry.faults import Fault

_CHUNK = b" " * 65536
_ENDLESS_BYTES = 2 * 1024**3
_BOMB_BLOCK = bytes(1024**2)
_BOMB_BLOCKS = 512
_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff"
_CODES = {401: "UNAUTHORIZED", 403: "DENIED", 405: "UNSUPPORTED", 429: "TOOMANYREQUESTS", 503: "UNAVAILABLE"}


class NoAnswer(web.Response):
    """Stands for the answer to a request whose connection was reset."""


Operation = Callable[[], Awaitable[web.StreamResponse]]


async def apply_fault(
    fault: Fault, request: web.BaseRequest, operation: Operation, closing: asyncio.Event
) -> web.StreamResponse:
    """Answers `request` with the effects of the fault. `operation` makes the answer without them.

    A wait ends when `closing` is set.
    """
    if fault.delay:
        await _wait(closing, fault.delay)
    if fault.hang:
        await closing.wait()
        return _reset(request)
    if fault.reset == "before":
        return _reset(request)
    if fault.endless:
        return await _send_endless(request)
    if fault.gzip_bomb:
        return await _send_gzip_bomb(request)
    replacement = _replacement(fault)
    answer = await operation() if replacement is None else replacement
    if fault.answer_delay:
        await _wait(closing, fault.answer_delay)
    if fault.reset == "after":
        return _reset(request)
    _change_headers(fault, request, answer)
    if isinstance(answer, web.Response):
        _change_body(fault, answer)
        if fault.truncate and request.method != "HEAD":
            body = answer.body if isinstance(answer.body, bytes) else b""
            return await send_cut(request, answer, body[: len(body) // 2], len(body))
    return answer


def _replacement(fault: Fault) -> web.Response | None:
    if fault.redirect is not None:
        return web.Response(status=307, headers={"Location": fault.redirect})
    if fault.invalid_json:
        return web.Response(body=b'{"oops": ', content_type="application/json")
    if fault.status is None:
        return None
    if fault.status in (204, 304):
        return web.Response(status=fault.status)
    code = _CODES.get(fault.status, "UNKNOWN")
    if fault.route == "token":
        body = json.dumps({"error": code}).encode()
        return web.Response(status=fault.status, body=body, content_type="application/json")
    return error_response(RegistryError(code), status=fault.status)


def _change_headers(fault: Fault, request: web.BaseRequest, answer: web.StreamResponse) -> None:
    if fault.link == "missing":
        answer.headers.pop("Link", None)
    elif fault.link == "repeat":
        answer.headers["Link"] = f'<{request.raw_path}>; rel="next"'
    elif fault.link is not None:
        answer.headers["Link"] = f'<{fault.link}>; rel="next"'
    for name in fault.without_headers:
        answer.headers.popall(name, None)
        if name.lower() == "content-length":
            # Otherwise aiohttp computes it from the body.
            answer.enable_chunked_encoding()
    for name, value in fault.headers:
        answer.headers[name] = value


def _change_body(fault: Fault, answer: web.Response) -> None:
    if fault.body is not None:
        # The length is that of the replaced body.
        answer.headers.popall("Content-Length", None)
        answer.body = fault.body.encode() if isinstance(fault.body, str) else fault.body
    if fault.corrupt and isinstance(answer.body, bytes):
        answer.body = bytes(byte ^ 0x01 for byte in answer.body)


async def _wait(closing: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(closing.wait(), seconds)


def _reset(request: web.BaseRequest) -> web.StreamResponse:
    transport = request.transport
    if transport is not None:
        connection = transport.get_extra_info("socket")
        if connection is not None:
            # A close without linger sends RST instead of FIN. The duplicate is needed because uvloop's sockets have
            # no setsockopt.
            with socket.socket(fileno=socket.dup(connection.fileno())) as duplicate:
                duplicate.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return NoAnswer()


async def _send_endless(request: web.BaseRequest) -> web.StreamResponse:
    answer = await _begin_stream(request)
    if request.method != "HEAD":
        for _ in range(_ENDLESS_BYTES // len(_CHUNK)):
            await answer.write(_CHUNK)
    return answer


async def _send_gzip_bomb(request: web.BaseRequest) -> web.StreamResponse:
    answer = await _begin_stream(request, {"Content-Encoding": "gzip"})
    if request.method != "HEAD":
        bomb = await asyncio.to_thread(_gzip_bomb)
        for start in range(0, len(bomb), len(_CHUNK)):
            await answer.write(bomb[start : start + len(_CHUNK)])
    return answer


async def _begin_stream(
    request: web.BaseRequest, headers: Mapping[str, str] = MappingProxyType({})
) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Type": "application/json", **headers})
    answer.enable_chunked_encoding()
    await answer.prepare(request)
    return answer


@cache
def _gzip_bomb() -> bytes:
    # After a full flush, each block is compressed to the same bytes, so that one is enough.
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    block = packer.compress(_BOMB_BLOCK) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = 0
    for _ in range(_BOMB_BLOCKS):
        checksum = zlib.crc32(_BOMB_BLOCK, checksum)
    trailer = struct.pack("<II", checksum, len(_BOMB_BLOCK) * _BOMB_BLOCKS)
    return _GZIP_HEADER + block * _BOMB_BLOCKS + packer.flush() + trailer
