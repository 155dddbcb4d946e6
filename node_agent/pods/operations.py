"""The steps on one pod, carried out on the runtime and the node's files. What fails is written on the pod's keeper."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any, Protocol

from node_agent import metrics
from node_agent.images.pulls import Request, policy_of
from node_agent.pods import labels
from node_agent.pods.containers import Surroundings, container_spec, sandbox_spec, sub_path
from node_agent.pods.context import PodContext
from node_agent.pods.decide import (
    PrepareVolumes,
    PullImage,
    RemoveContainer,
    StartContainer,
    StartSandbox,
    Step,
    StopSandbox,
)
from node_agent.pods.environment import environment
from node_agent.pods.facts import ConfigProblem
from node_agent.pods.labels import Seen
from node_agent.pods.naming import hosts_file
from node_agent.pods.observed import Failure, Pull, PullPhase
from node_agent.pods.telling import teller
from node_agent.probes.ask import Target
from node_agent.probes.probing import Told
from node_agent.runtime.base import (
    Image,
    LogOptions,
    NameTaken,
    NoSuchContainer,
    NoSuchImage,
    RuntimeRefused,
)
from node_agent.volumes import prepare
from node_agent.volumes.paths import PodPaths
from node_agent.volumes.payload import Ingredients
from orchestrator.api.views.configuration import Secret
from orchestrator.api.views.pods import Container, Pod
from orchestrator.machinery.backoff import Backoff

# How soon what failed is tried again, doubling.
_RETRY = Backoff(first_s=1.0, limit_s=60.0)
_HOOK_TIMEOUT_S = 600.0
_MESSAGE_MAX = 4096
# What Kubernetes takes from the log in place of a termination message.
_LOG_LINES, _LOG_MAX = 80, 2048
_SANDBOX_STOP_S = 5.0
# Pods that have begun get ready before others begin.
_CONTAINER_URGENCY, _SANDBOX_URGENCY = 0, 1


class Keeper(Protocol):
    """Who keeps the pod between steps: what is known of it, and what goes on beside them."""

    pod: Pod
    is_gone: bool
    pulls: dict[str, Pull]
    failures: dict[str, Failure]
    volumes: dict[str, str] | None

    @property
    def pod_ip(self) -> str: ...

    def seen(self) -> tuple[tuple[Seen, ...], dict[str, tuple[Seen, ...]]]: ...

    def container(self, name: str) -> Container | None: ...

    def wake(self) -> None: ...

    def spawn(self, work: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]: ...

    def stop_after_failed_hook(self, container_id: str, name: str, why: str) -> None: ...


class Operations:
    """The steps of one pod. Each is safe to repeat; each may raise RuntimeUnreachable."""

    def __init__(self, context: PodContext, keeper: Keeper) -> None:
        self._context = context
        self._keeper = keeper
        self._failed: dict[str, int] = {}

    @property
    def _paths(self) -> PodPaths:
        return PodPaths(self._context.state_dir, self._keeper.pod.metadata.uid)

    async def take(self, step: Step) -> None:
        """Take one step."""
        match step:
            case PrepareVolumes():
                await self._prepare_volumes()
            case StartSandbox(attempt):
                await self._start_sandbox(attempt)
            case StopSandbox(container_id):
                await self._stop_sandbox(container_id)
            case PullImage(name):
                await self._pull(name)
            case StartContainer(name, attempt):
                await self._start_container(name, attempt)
            case RemoveContainer(container_id):
                await self._remove(container_id)

    # --- volumes ---

    async def _prepare_volumes(self) -> None:
        context, keeper = self._context, self._keeper
        try:
            given = await self.ingredients()
            volumes = await context.files.call(prepare.prepare, keeper.pod, self._paths, given)
        except ConfigProblem as problem:
            _, containers = keeper.seen()
            if containers:
                # Adopted: what runs has its files already, and a refresh will bring them up to date later.
                keeper.volumes = self._known_volumes()
                return
            self.told("")("Warning", "FailedMount", str(problem))
            self._fail("", "ContainerCreating", str(problem))
            return
        self._succeed("")
        keeper.volumes = dict(volumes)

    async def ingredients(self) -> Ingredients:
        """What the pod's files are made of. Raises ConfigProblem."""
        context, pod = self._context, self._keeper.pod
        refs, tokens = await asyncio.gather(context.references.of(pod), context.tokens.tokens(pod))
        return Ingredients(refs=refs, facts=context.facts, tokens=tokens, pod_ip=self._keeper.pod_ip)

    def _known_volumes(self) -> dict[str, str]:
        return {
            volume.name: volume.host_path.path if volume.host_path else str(self._paths.volume(volume.name))
            for volume in self._keeper.pod.spec.volumes
        }

    async def refresh(self) -> None:
        """Bring the pod's files up to date with the objects they are made of. Raises ConfigProblem."""
        given = await self.ingredients()
        await self._context.files.call(prepare.refresh, self._keeper.pod, self._paths, given)

    # --- the sandbox ---

    async def _start_sandbox(self, attempt: int) -> None:
        context, pod = self._context, self._keeper.pod
        if not pod.spec.host_network:
            await context.network_ready.wait()
        spec = sandbox_spec(pod, context.facts, image=context.pause_image, network=context.network, attempt=attempt)
        async with context.starts.take(_SANDBOX_URGENCY):
            try:
                sandbox_id = await context.runtime.create(spec)
            except NameTaken:
                await context.watch.look_at_all()
                return
            except NoSuchImage:
                await context.runtime.load_image(context.pause_archive)
                return
            except RuntimeRefused as refused:
                self._sandbox_failed(str(refused))
                return
            try:
                await context.runtime.start(sandbox_id)
            except RuntimeRefused as refused:
                await context.runtime.remove(sandbox_id)
                self._sandbox_failed(str(refused))
                return
        await context.watch.look(sandbox_id)
        self._succeed("")

    def _sandbox_failed(self, why: str) -> None:
        message = f"Failed to create pod sandbox: {why}"
        self.told("")("Warning", "FailedCreatePodSandBox", message)
        self._fail("", "ContainerCreating", message)

    async def _stop_sandbox(self, container_id: str) -> None:
        context = self._context
        with suppress(NoSuchContainer):
            await context.runtime.kill(container_id, signal="SIGTERM")
        if not await context.watch.wait_ended(container_id, _SANDBOX_STOP_S):
            with suppress(NoSuchContainer):
                await context.runtime.kill(container_id)
            await context.watch.wait_ended(container_id, _SANDBOX_STOP_S)
        await context.watch.look(container_id)

    # --- images ---

    async def _pull(self, name: str) -> None:
        container = self._keeper.container(name)
        assert container is not None
        secrets: tuple[Secret, ...] = ()
        with suppress(ConfigProblem):  # without credentials the registry says what is wrong
            secrets = await self._context.references.pull_secrets(self._keeper.pod)
        request = Request(
            image=container.image,
            policy=policy_of(container.image, container.image_pull_policy),
            secrets=secrets,
            told=self.told(name),
            woken=self._keeper.wake,
        )
        pull, image = await self._context.pulls.want(request)
        if image is not None:
            self.remember(image)
        self._keeper.pulls[name] = pull

    def pull_of(self, container: Container) -> Pull:
        """How far an image is that was being pulled when last looked at."""
        pulls = self._context.pulls
        if pulls.is_running(container.image):
            return Pull(phase=PullPhase.PULLING)
        return pulls.outcome(container.image) or Pull(phase=PullPhase.PRESENT)

    def remember(self, image: Image) -> None:
        """Note what a status calls this image."""
        name = image.digests[0] if image.digests else ""
        self._context.image_ids[image.id] = f"docker-pullable://{name}" if name else f"docker://{image.id}"

    # --- containers ---

    async def _start_container(self, name: str, attempt: int) -> None:
        context, keeper = self._context, self._keeper
        container = keeper.container(name)
        sandboxes, containers = keeper.seen()
        sandbox = next((one for one in sandboxes if one.state.pid), None)
        assert container is not None
        if sandbox is None:
            return
        try:
            image = await context.runtime.image(container.image)
            around = await self._surroundings(container, attempt, sandbox.state.id, image)
            previous = next(iter(containers.get(name, ())), None)
            spec = container_spec(keeper.pod, container, context.facts, around, attempt=attempt, previous=previous)
        except NoSuchImage:
            keeper.pulls.pop(name, None)
            return
        except (ConfigProblem, OSError) as problem:
            self.told(name)("Warning", "Failed", f"Error: {problem}")
            self._fail(name, "CreateContainerConfigError", str(problem))
            return
        async with context.starts.take(_CONTAINER_URGENCY):
            try:
                container_id = await context.runtime.create(spec)
            except NameTaken:
                await context.watch.look_at_all()
                return
            except NoSuchImage:
                keeper.pulls.pop(name, None)
                return
            except RuntimeRefused as refused:
                self.told(name)("Warning", "Failed", f"Error: {refused}")
                self._fail(name, "CreateContainerError", str(refused))
                return
            self.told(name)("Normal", "Created", f"Created container: {name}")
            await self._start(container, container_id)

    async def _start(self, container: Container, container_id: str) -> None:
        context, keeper, name = self._context, self._keeper, container.name
        keeper.pulls.pop(name, None)
        self._succeed(name)
        try:
            await context.runtime.start(container_id)
        except RuntimeRefused as refused:
            self.told(name)("Warning", "Failed", f'Error: failed to start container "{name}": {refused}')
            await context.watch.look(container_id)
            return
        metrics.CONTAINER_STARTS.inc()
        self.told(name)("Normal", "Started", f"Started container {name}")
        await context.watch.look(container_id)
        if container.lifecycle is not None and container.lifecycle.post_start is not None:
            keeper.spawn(self._post_start(container, container_id), name=f"post-start-{name}")

    async def _surroundings(self, container: Container, attempt: int, sandbox_id: str, image: Image) -> Surroundings:
        context, keeper, paths = self._context, self._keeper, self._paths
        self.remember(image)
        refs = await context.references.of(keeper.pod)
        message = paths.message(container.name, attempt)
        around = Surroundings(
            sandbox_id=sandbox_id,
            env=environment(keeper.pod, container, refs, context.facts, keeper.pod_ip),
            volumes=keeper.volumes or {},
            hosts_path=str(paths.hosts),
            resolv_path=str(paths.resolv_conf),
            message_path=str(message),
            image_user=image.user,
        )
        await context.files.call(self._make_files, container, message, around)
        return around

    def _make_files(self, container: Container, message: Path, around: Surroundings) -> None:
        prepare.write_if_changed(
            self._paths.hosts, hosts_file(self._keeper.pod, self._context.facts, self._keeper.pod_ip)
        )
        prepare.make_message_file(message)
        for mount in container.volume_mounts:
            volume = around.volumes.get(mount.name)
            if volume is not None and (below := sub_path(mount, around.env)):
                prepare.check_sub_path(volume, f"{volume}/{below}")

    async def _post_start(self, container: Container, container_id: str) -> None:
        assert container.lifecycle is not None
        assert container.lifecycle.post_start is not None
        target = Target(container=container, container_id=container_id, address=self._keeper.pod_ip)
        answer = await self._context.asker.hook(container.lifecycle.post_start, target, _HOOK_TIMEOUT_S)
        if not answer.well:
            self.told(container.name)("Warning", "FailedPostStartHook", f"PostStartHook failed: {answer.text}"[:1024])
            self._keeper.stop_after_failed_hook(
                container_id, container.name, f"Container {container.name} failed its postStart hook"
            )

    async def _remove(self, container_id: str) -> None:
        await self._context.runtime.remove(container_id)
        self._context.watch.forget(container_id)

    async def termination_message(self, ended: Seen) -> str:
        """What the container left as its last words."""
        given = ended.state.labels
        text = ""
        if path := given.get(labels.MESSAGE_FILE):
            with suppress(OSError):
                text = await self._context.files.call(_read_start, Path(path))
        wants_log = given.get(labels.MESSAGE_POLICY) == "FallbackToLogsOnError" and ended.state.exit_code != 0
        if text or not wants_log:
            return text
        output = b""
        with suppress(NoSuchContainer, RuntimeRefused):
            async with aclosing(self._context.runtime.logs(ended.state.id, LogOptions(tail=_LOG_LINES))) as pieces:
                async for piece in pieces:
                    output = (output + piece)[-_LOG_MAX:]
        return output.decode(errors="replace")

    # --- the end ---

    async def finalize(self) -> None:
        """Remove everything of the pod from this node, and then the pod from the API."""
        context, keeper = self._context, self._keeper
        uid = keeper.pod.metadata.uid
        sandboxes, containers = keeper.seen()
        everything = [*sandboxes, *(one for found in containers.values() for one in found)]
        async with asyncio.TaskGroup() as removing:
            for one in everything:
                removing.create_task(self._remove(one.state.id), name=f"remove-{one.name}")
        await context.files.call(prepare.remove, self._paths)
        if not keeper.is_gone:
            await context.reporter.take_off(keeper.pod)
        context.reporter.forget(uid)
        context.tokens.forget(uid)

    # --- telling ---

    def told(self, container: str) -> Told:
        """Records events about the pod, or about one of its containers."""
        return teller(self._context.recorder, self._keeper.pod, container)

    def _fail(self, name: str, reason: str, message: str) -> None:
        count = self._failed.get(name, 0) + 1
        self._failed[name] = count
        retry_at = self._context.clock.now() + _RETRY.delay_s(count)
        self._keeper.failures[name] = Failure(reason=reason, message=message, retry_at=retry_at)

    def _succeed(self, name: str) -> None:
        self._failed.pop(name, None)
        self._keeper.failures.pop(name, None)


def _read_start(path: Path) -> str:
    with open(path, "rb") as file:
        return file.read(_MESSAGE_MAX).decode(errors="replace")
