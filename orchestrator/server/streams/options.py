"""The options of logs, exec, attach and port-forward: checked, and turned into the kubelet's parameters. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from orchestrator.api import problems
from orchestrator.api.numbers import BadNumber, parse_int64
from orchestrator.api.problems import Problem
from orchestrator.api.schema import scalars
from orchestrator.machinery.errors import BadRequest, Invalid
from orchestrator.server.requests import is_set

Parameters = Sequence[tuple[str, str]]
# The API's name for a stream and the kubelet's.
_STREAMS = (("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty"))


class Query(Protocol):
    """The part of aiohttp's multi-dictionary that is used here."""

    def get(self, key: str, default: str) -> str: ...
    def getall(self, key: str, default: list[str]) -> list[str]: ...


def for_logs(query: Query) -> Parameters:
    """What `/containerLogs` is asked. Raises `BadRequest` or `Invalid`."""
    found: list[tuple[str, str]] = []
    for flag in ("follow", "previous", "timestamps"):
        if _flag(query, flag):
            found.append((flag, "true"))
    broken: list[Problem] = []
    for number, lowest in (("tailLines", 0), ("sinceSeconds", 1), ("limitBytes", 1)):
        text = query.get(number, "")
        if not text:
            continue
        value = _integer(text)
        if value < lowest:
            rule = "must be greater than or equal to 0" if lowest == 0 else "must be greater than 0"
            broken.append(problems.invalid(number, value, rule))
        found.append((number, str(value)))
    since_time = query.get("sinceTime", "")
    if since_time and query.get("sinceSeconds", ""):
        broken.append(problems.forbidden("sinceTime", "at most one of `sinceTime` or `sinceSeconds` may be specified"))
    if broken:
        raise Invalid.of(group="", kind="PodLogOptions", name="", problems=broken)
    if since_time:
        try:
            found.append(("sinceTime", scalars.as_time(since_time)))
        except scalars.WrongValue as exc:
            raise BadRequest(str(exc)) from exc
    if query.get("stream", ""):
        found.append(("stream", query.get("stream", "")))
    return tuple(found)


def for_streams(query: Query) -> Parameters:
    """What `/exec` and `/attach` are asked. Raises `BadRequest`."""
    found = [(theirs, "1") for ours, theirs in _STREAMS if _flag(query, ours)]
    if not any(name in ("input", "output", "error") for name, _ in found):
        raise BadRequest("you must specify at least 1 of stdin, stdout, stderr")
    return (*found, *(("command", word) for word in query.getall("command", [])))


def for_ports(query: Query) -> Parameters:
    """What `/portForward` is asked: the ports, where the client's protocol names them in the URL."""
    return tuple(("port", port) for port in query.getall("ports", []))


def _flag(query: Query, name: str) -> bool:
    return is_set(query.get(name, "0"))


def _integer(text: str) -> int:
    try:
        return parse_int64(text)
    except BadNumber as exc:
        raise BadRequest(str(exc)) from exc
