"""The proxy's figures for Prometheus, read from the data path and DNS when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from netproxy.forward.tally import Totals

SYNC_SECONDS = Histogram(
    "wherry_netproxy_sync_duration_seconds",
    "From a change seen to every worker having applied it.",
    buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0),
)
FAILURES = Counter(
    "wherry_netproxy_failures_total", "Times that a service's rules and names could not be worked out from its objects."
)


class ProxyCollector(Collector):
    """Register it once. The three functions are called at every scrape."""

    def __init__(
        self,
        totals: Callable[[], Mapping[str, Totals]],
        unavailable: Callable[[], int],
        answers: Callable[[], Mapping[str, int]],
    ) -> None:
        self._totals = totals
        self._unavailable = unavailable
        self._answers = answers

    def collect(self) -> Iterator[Metric]:
        """The figures as they stand."""
        label = ["service"]
        connections = CounterMetricFamily(
            "wherry_netproxy_connections", "TCP connections and UDP sessions taken in.", labels=label
        )
        opened = GaugeMetricFamily("wherry_netproxy_connections_open", "Connections open now.", labels=label)
        failures = CounterMetricFamily(
            "wherry_netproxy_backend_failures", "Back ends that refused or did not answer.", labels=label
        )
        refused = CounterMetricFamily("wherry_netproxy_refused", "Clients turned away.", labels=label)
        moved = CounterMetricFamily("wherry_netproxy_bytes", "Bytes moved.", labels=["service", "direction"])
        for service, totals in sorted(self._totals().items()):
            connections.add_metric([service], totals.connections)
            opened.add_metric([service], totals.open)
            failures.add_metric([service], totals.failures)
            refused.add_metric([service], totals.refused)
            moved.add_metric([service, "received"], totals.received_bytes)
            moved.add_metric([service, "sent"], totals.sent_bytes)
        yield from (connections, opened, failures, refused, moved)
        yield GaugeMetricFamily(
            "wherry_netproxy_ports_unavailable", "Service ports that something else holds.", value=self._unavailable()
        )
        answers = CounterMetricFamily("wherry_dns_answers", "DNS answers by response code.", labels=["rcode"])
        for rcode, count in sorted(self._answers().items()):
            answers.add_metric([rcode], count)
        yield answers
