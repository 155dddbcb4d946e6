"""Request bodies in protobuf, as typed Go clients write them."""

from __future__ import annotations

import contextlib
import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.api.codec import Malformed
from orchestrator.server.protobuf.decoder import decode


def field(number: int, value: bytes | int | str) -> bytes:
    """One field on the wire."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value & 0xFFFF_FFFF_FFFF_FFFF)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def body(api_version: str, kind: str, message: bytes) -> bytes:
    return b"k8s\x00" + field(1, field(1, api_version) + field(2, kind)) + field(2, message)


def read(data: bytes) -> dict[str, object]:
    return decode(data, api_version="v1", kind="ConfigMap")


def test_maps_bytes_and_empty_strings() -> None:
    meta = (
        field(1, "s") + field(2, "") + field(3, "default") + field(8, b"") + field(11, field(1, "app") + field(2, "x"))
    )
    secret = body("v1", "Secret", field(1, meta) + field(2, field(1, "k") + field(2, b"\x00\xff")) + field(3, "Opaque"))
    assert read(secret) == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s", "namespace": "default", "labels": {"app": "x"}},
        "data": {"k": "AP8="},
        "type": "Opaque",
    }


def test_a_zero_that_was_meant_stays_and_one_that_go_always_writes_goes() -> None:
    deployment = body("apps/v1", "Deployment", field(2, field(1, 0) + field(5, 0) + field(6, 0) + field(7, 0)))
    assert read(deployment)["spec"] == {"replicas": 0, "revisionHistoryLimit": 0}


def test_inlined_messages_quantities_ports_and_negative_numbers() -> None:
    quantity = field(1, "cpu") + field(2, field(1, "100m"))
    port = field(1, 0) + field(2, 8080) + field(3, "")
    probe = field(1, field(2, field(1, "/ready") + field(2, port))) + field(2, 0) + field(4, 5)
    container = field(1, "c") + field(8, field(1, quantity)) + field(11, probe)
    volume = field(1, "v") + field(2, field(1, field(1, "/host")))
    toleration = field(1, "k") + field(5, -1)
    pod = read(body("v1", "Pod", field(2, field(1, volume) + field(2, container) + field(22, toleration))))
    assert pod["spec"] == {
        "volumes": [{"name": "v", "hostPath": {"path": "/host"}}],
        "containers": [
            {
                "name": "c",
                "resources": {"limits": {"cpu": "100m"}},
                "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}, "periodSeconds": 5},
            }
        ],
        "tolerations": [{"key": "k", "tolerationSeconds": -1}],
    }


def test_times() -> None:
    lease = field(2, field(2, 40) + field(4, field(1, 1_700_000_000) + field(2, 250_000_000)))
    assert read(body("coordination.k8s.io/v1", "Lease", lease))["spec"] == {
        "leaseDurationSeconds": 40,
        "renewTime": "2023-11-14T22:13:20.250000Z",
    }


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"{}", id="json"),
        pytest.param(b"k8s\x00\x0a\x05ab", id="cut-short"),
        pytest.param(body("v1", "Gadget", b""), id="unknown-kind"),
        pytest.param(body("v1", "Pod", field(1, 5)), id="number-for-message"),
        pytest.param(body("v1", "Pod", b"\xff" * 12), id="endless-number"),
        pytest.param(body("v1", "Pod", field(1, field(1, b"\xff\xfe"))), id="no-utf8"),
    ],
)
def test_what_is_no_such_body_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        read(data)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_make_it_fail_in_another_way(noise: bytes) -> None:
    for kind, version in (("Pod", "v1"), ("Deployment", "apps/v1"), ("Service", "v1")):
        with contextlib.suppress(Malformed):
            read(body(version, kind, noise))


@given(st.integers(1, 253_402_300_799), st.integers(0, 999_999_999))
def test_a_moment_is_the_one_that_was_sent(seconds: int, nanos: int) -> None:
    lease = body("coordination.k8s.io/v1", "Lease", field(2, field(4, field(1, seconds) + field(2, nanos))))
    spec = read(lease)["spec"]
    assert isinstance(spec, dict)
    sent = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(
        seconds=seconds, microseconds=nanos // 1000
    )
    assert spec["renewTime"] == f"{sent.strftime('%Y-%m-%dT%H:%M:%S.%f')}Z"


def test_a_second_has_a_thousand_million_nanoseconds() -> None:
    with pytest.raises(Malformed):
        read(body("coordination.k8s.io/v1", "Lease", field(2, field(4, field(1, 1) + field(2, 1_000_000_000)))))
