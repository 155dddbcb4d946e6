"""Events about a pod and its containers, in Kubernetes' words."""

from __future__ import annotations

from node_agent.probes.probing import Told
from orchestrator.api.objects import Object
from orchestrator.api.views.meta import ObjectReference
from orchestrator.api.views.pods import Pod
from orchestrator.machinery.recorder import EventRecorder


def teller(recorder: EventRecorder, pod: Pod, container: str) -> Told:
    """Records events about the pod, or about one of its containers."""
    field_path = ""
    if container:
        kind = "initContainers" if any(one.name == container for one in pod.spec.init_containers) else "containers"
        field_path = f"spec.{kind}{{{container}}}"
    reference = ObjectReference(
        api_version="v1",
        kind="Pod",
        name=pod.metadata.name,
        namespace=pod.metadata.namespace,
        uid=pod.metadata.uid,
        field_path=field_path,
    )

    def tell(kind: str, reason: str, message: str) -> None:
        recorder.event(reference, type=kind, reason=reason, message=message)

    return tell


def tell_of_back_offs(recorder: EventRecorder, pod: Pod, before: Object, after: Object) -> None:
    """An event for each container that has begun to wait out a back-off; `before` and `after` are statuses."""
    meta = pod.metadata
    waited = _in_back_off(before)
    for name, count in _in_back_off(after):
        if (name, count) not in waited:
            message = f"Back-off restarting failed container {name} in pod {meta.name}_{meta.namespace}({meta.uid})"
            teller(recorder, pod, name)("Warning", "BackOff", message)


def _in_back_off(status: Object) -> set[tuple[str, int]]:
    entries = [*status.get("containerStatuses", ()), *status.get("initContainerStatuses", ())]
    return {
        (one["name"], one["restartCount"])
        for one in entries
        if one["state"].get("waiting", {}).get("reason") == "CrashLoopBackOff"
    }
