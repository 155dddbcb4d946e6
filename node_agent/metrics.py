"""The agent's Prometheus metrics."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

POD_START_SECONDS = Histogram(
    "wherry_pod_start_duration_seconds",
    "From the agent's first sight of a pod until all its containers ran.",
    buckets=(0.1, 0.2, 0.3, 0.5, 0.8, 1.3, 2, 3, 5, 10, 30, 60, 300),
)
STEP_SECONDS = Histogram(
    "wherry_pod_step_duration_seconds",
    "How long one step on a pod took.",
    ["step"],
    buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0),
)
PODS_HERE = Gauge("wherry_node_pods", "Pods that this agent takes care of.")
CONTAINER_STARTS = Counter("wherry_container_starts_total", "Containers started, restarts included.")
POD_FAILURES = Counter("wherry_pod_worker_failures_total", "Unexpected failures of a pod's task; each is tried again.")
RUNTIME_UP = Gauge("wherry_runtime_up", "1 while the container runtime answers.")
