"""Every field that the API accepts is somebody's, or a gap that somebody minds."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from orchestrator.api import views
from orchestrator.api.kinds import BUILT_IN
from orchestrator.api.objects import Object
from orchestrator.api.schema.definitions import schema_of
from orchestrator.api.schema.shapes import Schema, Shape
from orchestrator.api.strategies.apps import DEPLOYMENTS_STRATEGY, STATEFULSETS_STRATEGY
from orchestrator.api.strategies.base import Strategy
from orchestrator.api.strategies.pods import PODS_STRATEGY
from orchestrator.api.strategies.services import SERVICES_STRATEGY
from orchestrator.api.support.gaps import GAPS, LEADS, Outcome, gap_warnings, gaps_in
from orchestrator.api.support.implemented import implementer, named_definitions, named_fields
from tests.support.manifests import a_pod, a_service, a_workload, changed, created

# What every kind has: the server's business, and what components report.
_EVERYWHERE = {"apiVersion", "kind", "metadata", "status"}


def struct_below(schema: Schema) -> Schema | None:
    while schema.items is not None:
        schema = schema.items
    return schema if schema.shape is Shape.STRUCT else None


def accepted() -> Iterator[tuple[str, str, str]]:
    """Every (definition, field, definition below it) of the served kinds' specs that nothing above it rules out."""
    waiting = [
        (schema, _EVERYWHERE) for row in BUILT_IN.rows if not row.virtual for schema in [schema_of(row.resource)]
    ]
    seen: set[str] = set()
    while waiting:
        schema, left_out = waiting.pop()
        for field, below in schema.properties.items():
            if field in left_out:
                continue
            struct = struct_below(below)
            if (schema.name, field) != ("v1.PodTemplateSpec", "metadata") and not (
                set(schema.properties) >= _EVERYWHERE - {"status"} and field == "spec"
            ):
                yield schema.name, field, struct.name if struct else ""
            if struct and field not in GAPS.get(schema.name, {}) and struct.name not in seen:
                seen.add(struct.name)
                waiting.append((struct, set()))


ACCEPTED = sorted(set(accepted()))


def test_every_accepted_field_is_implemented_by_somebody_or_is_a_gap() -> None:
    def is_known(definition: str, field: str) -> bool:
        gap = GAPS.get(definition, {}).get(field)
        if implementer(definition, field) is None:
            return gap is not None
        return gap is None or not gap.is_whole

    unknown = [f"{definition}.{field}" for definition, field, _ in ACCEPTED if not is_known(definition, field)]
    assert unknown == [], "say in orchestrator/api/support who implements it, or what is done about it"


def test_nothing_is_listed_that_the_api_does_not_accept() -> None:
    fields = {(definition, field) for definition, field, _ in ACCEPTED}
    definitions = {definition for definition, _, _ in ACCEPTED} | {"v1.PodTemplateSpec", "v1.ObjectMeta"}
    assert named_fields() <= fields
    assert named_definitions() - {"v1.OwnerReference", "v1.ManagedFieldsEntry"} <= definitions
    assert {(definition, field) for definition, gaps in GAPS.items() for field in gaps} <= fields


def test_every_gap_of_a_pod_is_found_from_its_spec() -> None:
    below = {(definition, field): struct for definition, field, struct in ACCEPTED}
    assert all(below[definition, field] == to for definition, leads in LEADS.items() for field, to in leads.items())
    reached, waiting = set(), ["v1.PodSpec"]
    while waiting:
        definition = waiting.pop()
        reached.add(definition)
        waiting += LEADS.get(definition, {}).values()
    of_pods, waiting = set(), ["v1.PodSpec"]
    while waiting:
        definition = waiting.pop()
        if definition not in of_pods:
            of_pods.add(definition)
            waiting += [
                to for (one, field), to in below.items() if one == definition and to and field not in GAPS.get(one, {})
            ]
    assert {definition for definition in GAPS if definition in of_pods} <= reached


def test_a_pod_without_gaps_is_told_nothing() -> None:
    spec = {
        "containers": [{"name": "c", "env": [{"name": "A", "value": "1"}], "resources": {"limits": {"cpu": "1"}}}],
        "affinity": {"nodeAffinity": {}},
        "hostUsers": True,
        "os": {"name": "linux"},
        "resources": {},
        "preemptionPolicy": "PreemptLowerPriority",
        "volumes": [{"name": "v", "emptyDir": {}}],
    }
    assert gap_warnings("v1.PodSpec", spec, "spec") == []


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param(
            {"topologySpreadConstraints": [{"topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}]},
            [("spec.topologySpreadConstraints[0].topologyKey", Outcome.WARNED)],
            id="spread-as-a-wish",
        ),
        pytest.param(
            {"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{}]}}},
            [
                (
                    "spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution",
                    Outcome.PENDING,
                )
            ],
            id="required-anti-affinity",
        ),
        pytest.param(
            {"containers": [{"env": [{"valueFrom": {"fileKeyRef": {"key": "k"}}}]}]},
            [("spec.containers[0].env[0].valueFrom.fileKeyRef", Outcome.PENDING)],
            id="a-variable-from-a-file",
        ),
        pytest.param(
            {"volumes": [{"projected": {"sources": [{"clusterTrustBundle": {"path": "p"}}]}}]},
            [("spec.volumes[0].projected.sources[0].clusterTrustBundle", Outcome.PENDING)],
            id="within-a-projected-volume",
        ),
        pytest.param(
            {
                "initContainers": [{"restartPolicy": "Always"}, {"restartPolicy": "OnFailure"}],
                "containers": [{"restartPolicy": "Never"}],
            },
            [
                ("spec.initContainers[1].restartPolicy", Outcome.WARNED),
                ("spec.containers[0].restartPolicy", Outcome.WARNED),
            ],
            id="restarts-of-one-container",
        ),
        pytest.param({"hostUsers": False}, [("spec.hostUsers", Outcome.PENDING)], id="a-false-that-matters"),
    ],
)
def test_gaps_are_found_where_they_are(spec: dict[str, object], expected: list[tuple[str, Outcome]]) -> None:
    assert [(path, gap.outcome) for path, gap in gaps_in("v1.PodSpec", spec, "spec")] == expected


@pytest.mark.parametrize(
    ("strategy", "manifest", "expected"),
    [
        pytest.param(
            PODS_STRATEGY,
            a_pod(hostUsers=False),
            "spec.hostUsers: not implemented, pods with it stay pending: user namespaces are not implemented",
            id="pod",
        ),
        pytest.param(
            DEPLOYMENTS_STRATEGY,
            changed(a_workload("Deployment"), "spec/template/spec/hostnameOverride", "a"),
            "spec.template.spec.hostnameOverride: not implemented, it is ignored: the hostname is as without it",
            id="template",
        ),
        pytest.param(
            STATEFULSETS_STRATEGY,
            a_workload("StatefulSet", volumeClaimTemplates=[{"metadata": {"name": "data"}, "spec": {}}]),
            "spec.volumeClaimTemplates: not implemented, pods with it stay pending: its pods wait for claims, which "
            "are not implemented",
            id="statefulset",
        ),
        pytest.param(
            SERVICES_STRATEGY,
            a_service(trafficDistribution="PreferSameZone"),
            "spec.trafficDistribution: not implemented, it is ignored: traffic goes to all endpoints alike",
            id="service",
        ),
        pytest.param(
            SERVICES_STRATEGY,
            a_service(ports=[{"name": "a", "port": 80, "protocol": "SCTP"}, {"name": "b", "port": 80}]),
            "spec.ports[0].protocol: not implemented, it is ignored: the proxy forwards TCP and UDP",
            id="port-of-a-service",
        ),
    ],
)
def test_who_creates_something_with_a_gap_is_told(strategy: Strategy, manifest: Object, expected: str) -> None:
    assert strategy.warnings(created(strategy, manifest), None) == [expected]


ROOT = Path(__file__).resolve().parents[3]
_CONTROLLERS = "orchestrator/controllers"
#: Where the code of each component is; the API server implements fields in too many places to look for them.
SOURCES = {
    "node agent": "node_agent",
    "proxy": "netproxy",
    "scheduler": "orchestrator/scheduler",
    "workload controllers": _CONTROLLERS,
    "node controllers": _CONTROLLERS,
    "endpoint controllers": _CONTROLLERS,
    "network controllers": _CONTROLLERS,
}


def attributes() -> dict[str, set[str]]:
    """By the name of a field on the wire: what the views call it."""
    found: dict[str, set[str]] = {}
    for module in pkgutil.iter_modules(views.__path__):
        for _, view in inspect.getmembers(importlib.import_module(f"{views.__name__}.{module.name}"), inspect.isclass):
            if issubclass(view, msgspec.Struct):
                for attribute, name in zip(view.__struct_fields__, view.__struct_encode_fields__, strict=True):
                    found.setdefault(name, set()).add(attribute)
    return found


def test_whoever_is_said_to_implement_a_field_has_it_in_its_code() -> None:
    shared = "".join(path.read_text() for path in (ROOT / "orchestrator/api/views").glob("*.py"))
    code = {
        component: shared + "".join(path.read_text() for path in (ROOT / folder).rglob("*.py"))
        for component, folder in SOURCES.items()
    }
    called = attributes()

    def is_read(component: str, field: str) -> bool:
        words = "|".join({field, *called.get(field, ())})
        return re.search(rf"""\.({words})\b|\b({words})=|["']({words})["']""", code[component]) is not None

    unread = [
        f"{definition}.{field}, said to be the {component}'s"
        for definition, field, _ in ACCEPTED
        if field not in GAPS.get(definition, {})
        and (component := implementer(definition, field) or "") in code
        and not is_read(component, field)
    ]
    assert unread == []
