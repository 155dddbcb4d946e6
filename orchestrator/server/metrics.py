"""The API server's metrics, and cheap ways to count on the hot path."""

from __future__ import annotations

from functools import lru_cache

from prometheus_client import Counter, Gauge, Histogram

REQUESTS = Counter(
    "wherry_api_requests_total", "Requests by what was asked and how it ended.", ["verb", "resource", "code"]
)
REQUEST_SECONDS = Histogram(
    "wherry_api_request_duration_seconds",
    "How long requests took, watches and streams apart.",
    ["verb", "resource"],
    buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0),
)
SEATS = Gauge("wherry_api_seats_in_use", "Requests being answered, by priority level.", ["level"])
WAITING = Gauge("wherry_api_requests_waiting", "Requests that wait for a seat.", ["level"])
REJECTED = Counter("wherry_api_requests_rejected_total", "Requests told to come again, and why.", ["level", "reason"])
CONNECTIONS = Gauge("wherry_api_connections", "Open connections.", ["kind"])
CONNECTIONS_CUT = Counter(
    "wherry_api_connections_cut_total", "Connections refused or ended by us, and why.", ["reason"]
)
BODY_BYTES = Gauge("wherry_api_body_bytes", "Bytes of request bodies that are held.")
WATCHES = Gauge("wherry_api_watches", "Open watches.", ["resource"])
WATCHES_CUT = Counter("wherry_api_watches_cut_total", "Watches ended because their client did not read.")
TEMPLATED = Counter("wherry_api_templated_creates_total", "Creates of which all but the object's own was seen before.")
OBJECTS = Gauge("wherry_api_objects", "Stored objects.", ["resource"])


@lru_cache(maxsize=1024)
def counter_of(verb: str, resource: str, code: int) -> Counter:
    """The child to increment; looking it up by label costs as much as a small request."""
    return REQUESTS.labels(verb, resource, str(code))


@lru_cache(maxsize=512)
def seconds_of(verb: str, resource: str) -> Histogram:
    """The child to observe."""
    return REQUEST_SECONDS.labels(verb, resource)
