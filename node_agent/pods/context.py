"""What every pod's task works with: one of each on a node."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from node_agent.images.pulls import ImagePulls
from node_agent.pods.facts import NodeFacts
from node_agent.pods.references import PodReferences
from node_agent.pods.reporting import StatusReporter
from node_agent.pods.slots import Slots
from node_agent.probes.ask import Asker
from node_agent.runtime.base import ContainerRuntime
from node_agent.runtime.watching import ContainerWatch
from node_agent.volumes.tokens import PodTokens
from orchestrator.machinery.blocking import BlockingCalls
from orchestrator.machinery.clock import Clock
from orchestrator.machinery.recorder import EventRecorder

# Measured on two cores: with eight containers starting at once the engine starts most a second.
_STARTS_AT_ONCE = 8


@dataclass(slots=True, kw_only=True)
class PodContext:
    """The node's collaborators. `facts` may be replaced while the agent runs; everything else stays."""

    runtime: ContainerRuntime
    watch: ContainerWatch
    pulls: ImagePulls
    references: PodReferences
    tokens: PodTokens
    reporter: StatusReporter
    recorder: EventRecorder
    asker: Asker
    files: BlockingCalls
    clock: Clock
    facts: NodeFacts
    state_dir: Path
    network: str
    pause_image: str
    # Loaded again when somebody prunes the runtime's images.
    pause_archive: bytes = b""
    # The images' names for the status, by the runtime's id; as many as the node has images.
    image_ids: dict[str, str] = field(default_factory=dict)
    starts: Slots = field(default_factory=lambda: Slots(_STARTS_AT_ONCE))
    # Set once the node has its pod network: before that no pod can have an address.
    network_ready: asyncio.Event = field(default_factory=asyncio.Event)
