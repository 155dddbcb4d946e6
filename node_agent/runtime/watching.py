"""The containers of this node as last seen: kept current by the runtime's events, with a slow full look behind them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing, suppress

from node_agent.runtime.base import ContainerRuntime, ContainerState, NoSuchContainer, Phase, RuntimeUnreachable
from orchestrator.machinery.log import get_logger

logger = get_logger(__name__)

# Events tell at once; this is for what a lost one would have told.
_RESYNC_S = 60.0
_RETRY_S = 1.0

Listener = Callable[[ContainerState | None, ContainerState | None], None]


class ContainerWatch:
    """What is known of all containers. While the runtime is unreachable it says nothing new: `why_down` is set."""

    def __init__(self, runtime: ContainerRuntime, *, group_label: str) -> None:
        self._runtime = runtime
        self._group_label = group_label
        self._groups: dict[str, dict[str, ContainerState]] = {}
        self._states: dict[str, ContainerState] = {}
        self._listeners: list[Listener] = []
        self._synced = asyncio.Event()
        self._exits: dict[str, asyncio.Event] = {}
        self._up_or_down: Callable[[], None] = lambda: None
        self.why_down: str | None = "not asked yet"

    def states(self) -> list[ContainerState]:
        """All containers."""
        return list(self._states.values())

    def grouped(self, value: str) -> list[ContainerState]:
        """The containers whose grouping label has that value."""
        return list(self._groups.get(value, {}).values())

    def get(self, container_id: str) -> ContainerState | None:
        """One container, if it is known."""
        return self._states.get(container_id)

    def subscribe(self, listener: Listener) -> None:
        """Call `listener(old, new)` for every change; new is None for a removal."""
        self._listeners.append(listener)

    def when_up_or_down(self, listener: Callable[[], None]) -> None:
        """Call `listener` whenever the runtime stops or starts to answer."""
        self._up_or_down = listener

    async def wait_synced(self) -> None:
        """Return once all containers are known, and whenever the runtime answers."""
        await self._synced.wait()

    async def wait_ended(self, container_id: str, timeout_s: float) -> bool:
        """Wait until the container no longer runs; False if it still does after the timeout."""
        if not self._runs(container_id):
            return True
        ended = self._exits.setdefault(container_id, asyncio.Event())
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await ended.wait()
        return not self._runs(container_id)

    def _runs(self, container_id: str) -> bool:
        state = self._states.get(container_id)
        return state is not None and state.phase is Phase.RUNNING

    async def look(self, container_id: str) -> ContainerState | None:
        """Look at one container now; None if it is gone."""
        try:
            state = await self._runtime.inspect(container_id)
        except NoSuchContainer:
            self._set(container_id, None)
            return None
        self._set(container_id, state)
        return state

    def forget(self, container_id: str) -> None:
        """The container has been removed by us."""
        self._set(container_id, None)

    async def run(self) -> None:
        """Keep watching, for ever."""
        while True:
            try:
                async with aclosing(self._runtime.events()) as events, asyncio.TaskGroup() as group:
                    async for event in events:
                        if not event.id:
                            await self.look_at_all()
                            group.create_task(self._resync(), name="container-resync")
                        elif event.removed:
                            self._set(event.id, None)
                        elif not self._is_newer(event.id, event.at):
                            await self.look(event.id)
            except* RuntimeUnreachable as lost:
                self._down(str(lost.exceptions[0]))
            await asyncio.sleep(_RETRY_S)

    async def look_at_all(self) -> None:
        """Look at everything; what is not there any more is forgotten."""
        found = {state.id: state for state in await self._runtime.list()}
        for container_id in self._states.keys() - found.keys():
            self._set(container_id, None)
        for container_id, state in found.items():
            self._set(container_id, state)
        if self.why_down is not None:
            logger.info("runtime.up", containers=len(found))
            self.why_down = None
            self._up_or_down()
        self._synced.set()

    async def _resync(self) -> None:
        while True:
            await asyncio.sleep(_RESYNC_S)
            await self.look_at_all()

    def _is_newer(self, container_id: str, at: float) -> bool:
        """Whether what is known was seen after the event happened: our own operations look for themselves."""
        state = self._states.get(container_id)
        return state is not None and state.seen_at > at

    def _down(self, why: str) -> None:
        was_up, self.why_down = self.why_down is None, why
        if was_up:
            logger.warning("runtime.down", why=why[:256])
            self._up_or_down()
        self._synced.clear()

    def _set(self, container_id: str, state: ContainerState | None) -> None:
        old = self._states.get(container_id)
        if state is None:
            self._states.pop(container_id, None)
            self._ungroup(old)
        else:
            if old is not None and old.seen_at > state.seen_at:
                return
            self._states[container_id] = state
            self._groups.setdefault(state.labels.get(self._group_label, ""), {})[container_id] = state
        if state is None or state.phase is not Phase.RUNNING:
            ended = self._exits.pop(container_id, None)
            if ended is not None:
                ended.set()
        if old is None and state is None:
            return
        if old is None or state is None or (old.phase, old.exit_code) != (state.phase, state.exit_code):
            for listener in self._listeners:
                listener(old, state)

    def _ungroup(self, state: ContainerState | None) -> None:
        if state is None:
            return
        value = state.labels.get(self._group_label, "")
        members = self._groups.get(value, {})
        members.pop(state.id, None)
        if not members:
            self._groups.pop(value, None)
