"""The kubelet's own HTTPS API: logs, exec, attach, pods, stats, health, metrics."""
