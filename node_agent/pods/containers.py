"""From a pod's spec to the containers to create; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from node_agent.pods import labels
from node_agent.pods.environment import expand
from node_agent.pods.facts import ConfigProblem, NodeFacts
from node_agent.pods.labels import ContainerKind, Seen
from node_agent.pods.naming import runtime_hostname
from node_agent.pods.restart import backoff_after
from node_agent.runtime.base import ContainerSpec, Limits, Mount, PublishedPort
from orchestrator.api import quantities
from orchestrator.api.numbers import BadNumber, parse_int64
from orchestrator.api.views.pods import Container, Pod, SecurityContext, VolumeMount

# Kubernetes' arithmetic: 1024 shares a core, at least 2; a quota per 100 ms, at least 1 ms.
_SHARES_PER_CPU = 1024
_SHARES_MIN = 2
_PERIOD_US = 100_000
_QUOTA_MIN_US = 1_000
_PROPAGATION = {"HostToContainer": "rslave", "Bidirectional": "rshared", "None": "rprivate"}
# The kernel kills the containers of best-effort pods first, the sandbox and guaranteed pods last.
_OOM_SANDBOX, _OOM_GUARANTEED, _OOM_BEST_EFFORT = -998, -997, 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a container meets in its pod: the sandbox, and files of the node that are mounted into it."""

    sandbox_id: str
    env: Mapping[str, str]
    # By volume name: the node's path.
    volumes: Mapping[str, str]
    hosts_path: str
    resolv_path: str
    message_path: str
    image_user: str = ""


def sandbox_spec(pod: Pod, facts: NodeFacts, *, image: str, network: str, attempt: int) -> ContainerSpec:
    """The pause container that holds the pod's namespaces."""
    spec = pod.spec
    security = spec.security_context
    return ContainerSpec(
        name=labels.container_name(pod, "POD", attempt),
        image=image,
        labels=labels.pod_labels(pod, container="POD", kind=ContainerKind.PAUSE, attempt=attempt),
        hostname="" if spec.host_network else runtime_hostname(pod, facts),
        network="host" if spec.host_network else network,
        ipc="host" if spec.host_ipc else "shareable",
        pid="host" if spec.host_pid else "",
        ports=() if spec.host_network else tuple(_published(pod)),
        sysctls={} if security is None else {one.name: one.value for one in security.sysctls},
        # It runs four instructions; a filter would take longer to install than it ever runs.
        security_options=("seccomp=unconfined",),
        limits=Limits(cpu_shares=_SHARES_MIN, oom_score_adj=max(_OOM_SANDBOX, facts.oom_score_min)),
    )


def _published(pod: Pod) -> Sequence[PublishedPort]:
    return [
        PublishedPort(
            host_port=port.host_port,
            container_port=port.container_port,
            protocol=port.protocol.lower(),
            host_ip=port.host_ip,
        )
        for container in pod.spec.containers
        for port in container.ports
        if port.host_port
    ]


def container_spec(
    pod: Pod, container: Container, facts: NodeFacts, around: Surroundings, *, attempt: int, previous: Seen | None
) -> ContainerSpec:
    """One container of the pod. Raises ConfigProblem for what cannot be."""
    spec = pod.spec
    security = container.security_context or SecurityContext()
    is_init = container in spec.init_containers
    capabilities = security.capabilities
    _check_non_root(pod, container, security, around.image_user)
    return ContainerSpec(
        name=labels.container_name(pod, container.name, attempt),
        image=container.image,
        labels={
            **labels.pod_labels(
                pod,
                container=container.name,
                kind=ContainerKind.INIT if is_init else ContainerKind.REGULAR,
                attempt=attempt,
            ),
            labels.SANDBOX: around.sandbox_id,
            labels.SPEC_HASH: labels.spec_hash(container),
            labels.BACKOFF_S: str(backoff_after(previous)),
            labels.MESSAGE_FILE: around.message_path,
            labels.MESSAGE_POLICY: container.termination_message_policy,
        },
        entrypoint=tuple(expand(word, around.env) for word in container.command),
        args=tuple(expand(word, around.env) for word in container.args),
        env=tuple(f"{name}={value}" for name, value in around.env.items()),
        working_dir=container.working_dir,
        user=_user(pod, security),
        groups=_groups(pod),
        network=f"container:{around.sandbox_id}",
        ipc="host" if spec.host_ipc else f"container:{around.sandbox_id}",
        pid="host" if spec.host_pid else f"container:{around.sandbox_id}" if spec.share_process_namespace else "",
        mounts=tuple(_mounts(container, around)),
        limits=_limits(pod, container, facts),
        privileged=bool(security.privileged),
        read_only_root=bool(security.read_only_root_filesystem),
        capabilities_add=() if capabilities is None else capabilities.add,
        capabilities_drop=() if capabilities is None else capabilities.drop,
        security_options=_security_options(pod, security),
        stdin=container.stdin,
        stdin_once=container.stdin_once,
        tty=container.tty,
        stop_signal=(container.lifecycle.stop_signal or "") if container.lifecycle is not None else "",
    )


def _mounts(container: Container, around: Surroundings) -> Sequence[Mount]:
    mounts = [_mount(mount, around) for mount in container.volume_mounts]
    taken = {mount.target for mount in mounts}
    files = [
        ("/etc/hosts", around.hosts_path),
        ("/etc/resolv.conf", around.resolv_path),
        (container.termination_message_path, around.message_path),
    ]
    # The spec's own mount of such a path wins, as in Kubernetes.
    return mounts + [Mount(source=source, target=target) for target, source in files if source and target not in taken]


def _mount(mount: VolumeMount, around: Surroundings) -> Mount:
    source = around.volumes.get(mount.name)
    if source is None:
        raise ConfigProblem(f'cannot find volume "{mount.name}" to mount into container')
    below = sub_path(mount, around.env)
    if below:
        source = f"{source}/{below}"
    target = mount.mount_path if mount.mount_path.startswith("/") else f"/{mount.mount_path}"
    propagation = _PROPAGATION.get(mount.mount_propagation or "", "")
    return Mount(source=source, target=target, read_only=mount.read_only, propagation=propagation)


def sub_path(mount: VolumeMount, env: Mapping[str, str]) -> str:
    """What of its volume a mount shows; "" for all. Raises ConfigProblem for a path that leads out of it."""
    below = expand(mount.sub_path_expr, env) if mount.sub_path_expr else mount.sub_path
    if ".." in below.split("/") or below.startswith("/"):
        raise ConfigProblem(f'invalid subPath "{below}": must be a relative path within the volume')
    return below


def _user(pod: Pod, security: SecurityContext) -> str:
    whole = pod.spec.security_context
    user = security.run_as_user if security.run_as_user is not None or whole is None else whole.run_as_user
    group = security.run_as_group if security.run_as_group is not None or whole is None else whole.run_as_group
    if user is None:
        # A group alone: the user stays root, as the image's own cannot be named without looking into it.
        return "" if group is None else f"0:{group}"
    return str(user) if group is None else f"{user}:{group}"


def _groups(pod: Pod) -> Sequence[str]:
    whole = pod.spec.security_context
    if whole is None:
        return ()
    groups = [*whole.supplemental_groups, *([] if whole.fs_group is None else [whole.fs_group])]
    return tuple(str(group) for group in dict.fromkeys(groups))


def _check_non_root(pod: Pod, container: Container, security: SecurityContext, image_user: str) -> None:
    whole = pod.spec.security_context
    wanted = security.run_as_non_root
    if wanted is None:
        wanted = whole.run_as_non_root if whole is not None else None
    if not wanted:
        return
    user = _user(pod, security) or image_user
    name = user.partition(":")[0]
    number = _user_id(name)
    if name in ("", "root") or number == 0:
        raise ConfigProblem(
            "container has runAsNonRoot and image will run as root "
            f'(pod: "{pod.metadata.name}_{pod.metadata.namespace}({pod.metadata.uid})", container: {container.name})'
        )
    if number is None:
        raise ConfigProblem(
            f"container has runAsNonRoot and image has non-numeric user ({name}), cannot verify user is non-root "
            f'(pod: "{pod.metadata.name}_{pod.metadata.namespace}({pod.metadata.uid})", container: {container.name})'
        )


def _user_id(name: str) -> int | None:
    try:
        return parse_int64(name)  # "00" is root, too
    except BadNumber:
        return None


def _security_options(pod: Pod, security: SecurityContext) -> Sequence[str]:
    options = []
    whole = pod.spec.security_context
    profile = security.seccomp_profile or (whole.seccomp_profile if whole is not None else None)
    # Kubernetes' default is no profile at all, Docker's is its own.
    if profile is None or profile.type == "Unconfined":
        options.append("seccomp=unconfined")
    elif profile.type == "Localhost":
        options.append(f"seccomp={profile.localhost_profile}")
    if security.allow_privilege_escalation is False and not security.privileged:
        options.append("no-new-privileges")
    return tuple(options)


def _limits(pod: Pod, container: Container, facts: NodeFacts) -> Limits:
    resources = container.resources
    cpu_limit = quantities.parse_milli(resources.limits.get("cpu", 0))
    cpu_request = quantities.parse_milli(resources.requests.get("cpu", resources.limits.get("cpu", 0)))
    memory_limit = quantities.parse_bytes(resources.limits.get("memory", 0))
    memory_request = quantities.parse_bytes(resources.requests.get("memory", resources.limits.get("memory", 0)))
    return Limits(
        cpu_shares=max(_SHARES_MIN, cpu_request * _SHARES_PER_CPU // 1000),
        cpu_quota_us=max(_QUOTA_MIN_US, cpu_limit * _PERIOD_US // 1000) if cpu_limit else 0,
        cpu_period_us=_PERIOD_US if cpu_limit else 0,
        memory_bytes=memory_limit,
        oom_score_adj=max(
            _oom_score(qos_class(pod), memory_request, facts.memory_bytes),
            facts.oom_score_min,
        ),
    )


def _oom_score(quality: str, request_bytes: int, node_bytes: int) -> int:
    if quality == "Guaranteed":
        return _OOM_GUARANTEED
    if quality == "BestEffort":
        return _OOM_BEST_EFFORT
    return min(_OOM_BEST_EFFORT - 1, max(3, 1000 - 1000 * request_bytes // max(node_bytes, 1)))


def qos_class(pod: Pod) -> str:
    """Guaranteed, Burstable or BestEffort, by cpu and memory of all containers."""
    everything = (*pod.spec.containers, *pod.spec.init_containers)
    named = ("cpu", "memory")
    if not any(name in one.resources.requests or name in one.resources.limits for one in everything for name in named):
        return "BestEffort"
    for one in everything:
        for name in named:
            limit = one.resources.limits.get(name)
            request = one.resources.requests.get(name, limit)
            if limit is None or request is None or quantities.compare(limit, request) != 0:
                return "Burstable"
    return "Guaranteed"
