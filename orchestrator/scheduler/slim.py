"""What the scheduler keeps of a pod: 150,000 of them run, and of those it reads little."""

from __future__ import annotations

from orchestrator.api.views.scheduling import PodSpec, PodStatus, PodView
from orchestrator.api.views.sharing import Sharing


def slim(pod: PodView, sharing: Sharing) -> PodView:
    """The pod, sharing what it has in common with others, and without what nobody will ask of it any more.

    A plugin that counts more of running pods than labels, owners, requests and ports has it kept here.
    """
    status, spec = pod.status, pod.spec
    if pod.is_terminal:
        # It uses nothing: that it is there is all.
        spec, status = PodSpec(node_name=sharing.value(spec.node_name)), PodStatus(phase=status.phase)
    elif spec.node_name:
        asked = sharing.view(
            PodSpec(containers=spec.containers, init_containers=spec.init_containers, overhead=spec.overhead)
        )
        spec = PodSpec(
            node_name=sharing.value(spec.node_name),
            containers=asked.containers,
            init_containers=asked.init_containers,
            overhead=asked.overhead,
        )
        status = PodStatus(phase=status.phase)
    else:
        spec = sharing.view(spec)
        conditions = tuple(condition for condition in status.conditions if condition.type == "PodScheduled")
        status = PodStatus(phase=status.phase, conditions=conditions)
    return PodView(metadata=sharing.metadata(pod.metadata), spec=spec, status=sharing.view(status))
