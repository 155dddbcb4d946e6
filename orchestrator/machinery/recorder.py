"""Events on objects: what `kubectl describe` shows. Bounded, aggregated, never in the way of the work itself."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass

from orchestrator.api.resources import CORE_EVENTS
from orchestrator.api.views.meta import MetaView, ObjectReference
from orchestrator.machinery.client import Client
from orchestrator.machinery.clock import Clock, timestamp
from orchestrator.machinery.errors import ApiError, NotFound, Unreachable
from orchestrator.machinery.log import get_logger
from orchestrator.machinery.metrics import EVENTS_DROPPED

logger = get_logger(__name__)

_WAITING_MAX = 1_000
_REMEMBERED_MAX = 4_096
# client-go's spam filter: a burst of 25 events an object, then one every five minutes.
_BURST = 25
_REFILL_S = 300.0
_MESSAGE_MAX = 1_024


@dataclass(frozen=True, slots=True)
class _Event:
    regarding: ObjectReference
    type: str
    reason: str
    message: str
    at: float


@dataclass(slots=True)
class _Sent:
    name: str
    count: int


class EventRecorder:
    """Collects events and sends them from `run`. `component` and `host` become the event's source."""

    def __init__(self, client: Client, clock: Clock, *, component: str, host: str = "") -> None:
        self._client = client
        self._clock = clock
        self._component, self._host = component, host
        self._waiting: asyncio.Queue[_Event] = asyncio.Queue(_WAITING_MAX)
        self._sent: OrderedDict[tuple[str, ...], _Sent] = OrderedDict()
        self._tokens: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._sequence = 0

    def event(self, regarding: ObjectReference, *, type: str, reason: str, message: str) -> None:
        """Record that something happened to an object. Never blocks, never fails; drops when too much waits.

        `type` is Normal or Warning, `reason` a CamelCase word, `message` a sentence for people.
        """
        now = self._clock.now()
        if not self._allowed(f"{regarding.kind}/{regarding.namespace}/{regarding.name}/{regarding.uid}", now):
            EVENTS_DROPPED.inc()
            return
        try:
            self._waiting.put_nowait(_Event(regarding, type, reason, message[:_MESSAGE_MAX], now))
        except asyncio.QueueFull:
            EVENTS_DROPPED.inc()

    async def run(self) -> None:
        """Send what is recorded, for ever."""
        while True:
            event = await self._waiting.get()
            try:
                await self._send(event)
            except (ApiError, Unreachable) as refused:
                EVENTS_DROPPED.inc()
                logger.debug("event.refused", reason=event.reason, why=str(refused)[:256])
            except Exception:
                EVENTS_DROPPED.inc()
                logger.exception("event.failed", reason=event.reason, about=event.regarding.name)

    def _allowed(self, key: str, now: float) -> bool:
        tokens, updated = self._tokens.pop(key, (float(_BURST), now))
        tokens = min(float(_BURST), tokens + (now - updated) / _REFILL_S)
        allowed = tokens >= 1.0
        self._tokens[key] = (tokens - 1.0 if allowed else tokens, now)
        if len(self._tokens) > _REMEMBERED_MAX:
            self._tokens.popitem(last=False)
        return allowed

    async def _send(self, event: _Event) -> None:
        regarding = event.regarding
        namespace = regarding.namespace or "default"
        about = (regarding.kind, namespace, regarding.name, regarding.uid, regarding.field_path)
        key: tuple[str, ...] = (*about, event.type, event.reason, event.message)
        sent = self._sent.pop(key, None)
        if sent is not None:
            body = {"count": sent.count + 1, "lastTimestamp": timestamp(event.at)}
            try:
                await self._client.patch(CORE_EVENTS, sent.name, body, namespace, into=MetaView)
            except NotFound:
                sent = None  # it expired; tell it anew
            else:
                self._remember(key, _Sent(sent.name, sent.count + 1))
        if sent is None:
            name = self._unused_name(regarding.name, event.at)
            await self._client.create(CORE_EVENTS, self._body(event, name, namespace), namespace, into=MetaView)
            self._remember(key, _Sent(name, 1))

    def _remember(self, key: tuple[str, ...], sent: _Sent) -> None:
        self._sent[key] = sent
        if len(self._sent) > _REMEMBERED_MAX:
            self._sent.popitem(last=False)

    def _unused_name(self, about: str, at: float) -> str:
        self._sequence += 1
        return f"{about[:200]}.{int(at * 1e6):x}{self._sequence & 0xFFFF:04x}"

    def _body(self, event: _Event, name: str, namespace: str) -> dict[str, object]:
        source = {"component": self._component, **({"host": self._host} if self._host else {})}
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": event.regarding,
            "type": event.type,
            "reason": event.reason,
            "message": event.message,
            "source": source,
            "reportingComponent": self._component,
            "reportingInstance": self._host,
            "firstTimestamp": timestamp(event.at),
            "lastTimestamp": timestamp(event.at),
            "count": 1,
        }
