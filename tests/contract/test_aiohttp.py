"""What the API server uses of aiohttp's private parts. Where this fails, `orchestrator/server/http.py` must change."""

from __future__ import annotations

import asyncio
import inspect

from aiohttp import web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_exceptions import BadStatusLine, LineTooLong
from aiohttp.http_parser import RawRequestMessage
from aiohttp.web_protocol import RequestHandler, _ErrInfo

_SLOTS = {name for base in RequestHandler.__mro__ for name in getattr(base, "__slots__", ())}


def test_the_connection_has_the_parts_that_are_looked_at() -> None:
    assert {
        "_reading_paused",
        "_request_count",
        "_waiter",
        "_current_request",
        "_messages",
        "_upgraded",
        "transport",
    } <= _SLOTS
    assert {"method", "path", "headers"} <= set(dir(RawRequestMessage))


def test_the_connection_calls_what_is_overridden() -> None:
    parameters = list(inspect.signature(RequestHandler.handle_error).parameters)
    assert parameters == ["self", "request", "status", "exc", "message"]
    for name in ("data_received", "resume_reading", "connection_made", "connection_lost", "force_close"):
        assert callable(getattr(RequestHandler, name))
    assert "exc" in {field.name for field in _ErrInfo.__attrs_attrs__}


def test_the_limits_are_parameters() -> None:
    known = set(inspect.signature(RequestHandler.__init__).parameters)
    assert {"max_line_size", "max_field_size", "max_headers", "auto_decompress", "keepalive_timeout"} <= known
    assert issubclass(LineTooLong, Exception)
    assert issubclass(BadStatusLine, Exception)


def test_a_response_that_writes_itself_needs_no_more_than_this() -> None:
    # `DirectResponse` skips the base's initialisation: what aiohttp reads of it afterwards is set by hand.
    source = inspect.getsource(RequestHandler.finish_response) + inspect.getsource(RequestHandler.start)
    assert "await prepare_meth(request)" in source
    assert "await resp.write_eof()" in source
    assert "resp.keep_alive" in source
    assert "_message" in web.BaseRequest.ATTRS  # the target as it came: what is parsed of it costs more
    assert isinstance(web.StreamResponse.keep_alive, property)
    assert isinstance(BaseProtocol.writing_paused, property)


async def test_a_request_is_counted_when_its_head_is_there() -> None:
    """The order on which the time limit for heads rests."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response()

    handler = RequestHandler(web.Server(answer), loop=asyncio.get_running_loop())
    handler.data_received(b"GET / HTTP/1.1\r\nHost: x")
    assert handler._request_count == 0
    handler.data_received(b"\r\n\r\n")
    assert handler._request_count == 1
    handler.data_received(b"nonsense\r\n\r\n")
    assert isinstance(handler._messages[-1][0], _ErrInfo)
