"""Probes and lifecycle hooks: exactly one handler each, and numbers that make sense."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.api import names
from orchestrator.api.problems import forbidden, invalid, required
from orchestrator.api.strategies.rules import Problems, each, nonnegative, one_of, port_number, port_number_or_name

_NUMBERS = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold")
_PROBE_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")
_HOOK_HANDLERS = ("exec", "httpGet", "tcpSocket", "sleep")


def validate_probes(container: Mapping[str, Any], path: str, grace_s: int | None) -> Problems:
    """The rules of the three probes and the lifecycle hooks of a container that may have them."""
    problems: Problems = []
    if lifecycle := container.get("lifecycle"):
        problems += _lifecycle(lifecycle, f"{path}.lifecycle", grace_s)
    if (probe := container.get("livenessProbe")) is not None:
        problems += _probe(probe, f"{path}.livenessProbe", once=True)
    if (probe := container.get("readinessProbe")) is not None:
        problems += _probe(probe, f"{path}.readinessProbe", once=False)
        if (given := probe.get("terminationGracePeriodSeconds")) is not None:
            field = f"{path}.readinessProbe.terminationGracePeriodSeconds"
            problems.append(invalid(field, given, "must not be set for readinessProbes"))
    if (probe := container.get("startupProbe")) is not None:
        problems += _probe(probe, f"{path}.startupProbe", once=True)
    return problems


def _probe(probe: Mapping[str, Any], path: str, *, once: bool) -> Problems:
    problems = _handler(probe, _PROBE_HANDLERS, path, None)
    for name in _NUMBERS:
        if probe.get(name, 0) < 0:
            problems += nonnegative(f"{path}.{name}", probe[name])
    grace_s = probe.get("terminationGracePeriodSeconds")
    if grace_s is not None and grace_s <= 0:
        problems.append(invalid(f"{path}.terminationGracePeriodSeconds", grace_s, "must be greater than 0"))
    if once and probe.get("successThreshold") != 1:
        problems.append(invalid(f"{path}.successThreshold", probe.get("successThreshold", 0), "must be 1"))
    return problems


def _lifecycle(lifecycle: Mapping[str, Any], path: str, grace_s: int | None) -> Problems:
    problems: Problems = []
    for name in ("postStart", "preStop"):
        if (hook := lifecycle.get(name)) is not None:
            problems += _handler(hook, _HOOK_HANDLERS, f"{path}.{name}", grace_s)
    return problems


def _handler(handler: Mapping[str, Any], kinds: tuple[str, ...], path: str, grace_s: int | None) -> Problems:
    problems: Problems = []
    found = ""
    for kind in kinds:
        action = handler.get(kind)
        if action is None:
            continue
        if found:
            problems.append(forbidden(f"{path}.{kind}", "may not specify more than 1 handler type"))
            continue
        found = kind
        problems += _action(kind, action, f"{path}.{kind}", grace_s)
    if not found:
        problems.append(required(path, "must specify a handler type"))
    return problems


def _action(kind: str, action: Mapping[str, Any], path: str, grace_s: int | None) -> Problems:
    match kind:
        case "exec":
            return [] if action.get("command") else [required(f"{path}.command")]
        case "httpGet":
            return _http_get(action, path)
        case "tcpSocket":
            return port_number_or_name(f"{path}.port", action.get("port", 0))
        case "grpc":
            return port_number(f"{path}.port", action.get("port", 0))
        case _:
            seconds = action.get("seconds", 0)
            if grace_s is None or 0 <= seconds <= grace_s:
                return []
            words = f"must be non-negative and less than terminationGracePeriodSeconds ({grace_s})"
            return [invalid(path, seconds, words)]


def _http_get(action: Mapping[str, Any], path: str) -> Problems:
    problems: Problems = []
    if not action.get("path"):
        problems.append(required(f"{path}.path"))
    port = action.get("port", 0)
    if not (isinstance(port, int) and 0 < port < 65536):
        problems += port_number_or_name(f"{path}.port", port)
    if action.get("scheme") not in ("HTTP", "HTTPS"):
        problems += one_of(f"{path}.scheme", action.get("scheme"), ("HTTP", "HTTPS"))
    for header in action.get("httpHeaders") or ():
        name = header.get("name", "")
        problems += each(f"{path}.httpHeaders", name, names.is_http_header_name(name))
    return problems
