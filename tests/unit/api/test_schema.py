from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.api import codec, resources
from orchestrator.api.kinds import BUILT_IN
from orchestrator.api.problems import Problem
from orchestrator.api.schema import definitions, walker
from orchestrator.api.schema.definitions import UnknownSchema, schema_of, schema_of_kind
from orchestrator.api.schema.shapes import Schema, Shape
from tests.support.api import a_full_pod, unhurried

POD = schema_of(resources.PODS)


def changed(path: str, value: Any) -> dict[str, Any]:
    """A full pod with one field replaced; `path` is dotted, numbers are indexes."""
    pod = a_full_pod()
    *parents, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    place: Any = pod
    for step in parents:
        place = place[step]
    place[last] = value
    return pod


@pytest.mark.parametrize("row", BUILT_IN.rows, ids=lambda row: row.resource.group_resource)
def test_every_kind_has_a_schema(row: Any) -> None:
    schema = schema_of(row.resource)
    assert schema.shape is Shape.STRUCT
    assert schema.name.endswith(f".{row.resource.kind}")
    assert {"apiVersion", "kind", "metadata"} <= schema.properties.keys()


@pytest.mark.parametrize(
    ("api_version", "kind"),
    [
        ("autoscaling/v1", "Scale"),
        ("policy/v1", "Eviction"),
        ("v1", "Binding"),
        ("authentication.k8s.io/v1", "TokenRequest"),
        ("meta.k8s.io/v1", "DeleteOptions"),
    ],
)
def test_bodies_of_subresources_have_schemas(api_version: str, kind: str) -> None:
    assert schema_of_kind(api_version, kind).name.endswith(f".{kind}")


def test_a_kind_nobody_published_is_an_error() -> None:
    with pytest.raises(UnknownSchema):
        schema_of_kind("v1", "Boat")


def test_merge_data_is_kept() -> None:
    spec = POD.properties["spec"].properties
    assert (spec["containers"].merge_key, spec["containers"].patch_strategies) == ("name", ("merge",))
    assert spec["volumes"].patch_strategies == ("merge", "retainKeys")
    assert spec["tolerations"].list_type == "atomic"
    assert spec["containers"].items is not None
    assert spec["containers"].items.properties["ports"].map_keys == ("containerPort", "protocol")
    strategy = schema_of(resources.DEPLOYMENTS).properties["spec"].properties["strategy"]
    assert strategy.patch_strategies == ("retainKeys",)
    assert "rollingUpdate" in strategy.properties


def test_a_good_object_passes_and_stays_as_it_is() -> None:
    pod = a_full_pod()
    assert walker.check(POD, pod) == walker.Checked()
    assert pod == a_full_pod()


GO = "json: cannot unmarshal"


@pytest.mark.parametrize(
    ("path", "value", "field", "message"),
    [
        ("spec", "x", "spec", f"{GO} string into Go struct field Pod.spec of type v1.PodSpec"),
        ("spec.containers", {}, "spec.containers",
         f"{GO} object into Go struct field PodSpec.spec.containers of type []v1.Container"),
        ("spec.containers.0", "x", "spec.containers[0]",
         f"{GO} string into Go struct field PodSpec.spec.containers of type v1.Container"),
        ("spec.containers.0.env.0.value", True, "spec.containers[0].env[0].value",
         f"{GO} bool into Go struct field EnvVar.spec.containers.env.value of type string"),
        ("spec.containers.0.command", ["a", 1], "spec.containers[0].command[1]",
         f"{GO} number into Go struct field Container.spec.containers.command of type string"),
        ("spec.terminationGracePeriodSeconds", "30", "spec.terminationGracePeriodSeconds",
         f"{GO} string into Go struct field PodSpec.spec.terminationGracePeriodSeconds of type int64"),
        ("spec.terminationGracePeriodSeconds", 2**63, "spec.terminationGracePeriodSeconds",
         f"{GO} number {2**63} into Go struct field PodSpec.spec.terminationGracePeriodSeconds of type int64"),
        ("spec.terminationGracePeriodSeconds", -(2**63) - 1, "spec.terminationGracePeriodSeconds",
         f"{GO} number {-(2**63) - 1} into Go struct field PodSpec.spec.terminationGracePeriodSeconds of type int64"),
        ("spec.priority", -(2**31) - 1, "spec.priority",
         f"{GO} number {-(2**31) - 1} into Go struct field PodSpec.spec.priority of type int32"),
        ("spec.priority", 2**31, "spec.priority",
         f"{GO} number {2**31} into Go struct field PodSpec.spec.priority of type int32"),
        ("spec.priority", 1.5, "spec.priority",
         f"{GO} number 1.5 into Go struct field PodSpec.spec.priority of type int32"),
        ("spec.priority", True, "spec.priority", f"{GO} bool into Go struct field PodSpec.spec.priority of type int32"),
        ("spec.enableServiceLinks", 1, "spec.enableServiceLinks",
         f"{GO} number into Go struct field PodSpec.spec.enableServiceLinks of type bool"),
        ("metadata.labels.app", 1, "metadata.labels.app",
         f"{GO} number into Go struct field ObjectMeta.metadata.labels of type string"),
        ("metadata.labels", ["a"], "metadata.labels",
         f"{GO} array into Go struct field ObjectMeta.metadata.labels of type map[string]string"),
        ("metadata.creationTimestamp", "tomorrow", "metadata.creationTimestamp",
         'parsing time "tomorrow" as "2006-01-02T15:04:05Z07:00": cannot parse "tomorrow" as "2006"'),
        ("metadata.creationTimestamp", "2026-02-30T00:00:00Z", "metadata.creationTimestamp",
         'parsing time "2026-02-30T00:00:00Z": day out of range'),
        ("metadata.creationTimestamp", "2026-13-01T00:00:00Z", "metadata.creationTimestamp",
         'parsing time "2026-13-01T00:00:00Z": month out of range'),
        ("metadata.creationTimestamp", 5, "metadata.creationTimestamp",
         f"{GO} number into Go struct field ObjectMeta.metadata.creationTimestamp of type string"),
        ("spec.containers.0.resources.limits.cpu", "lots", "spec.containers[0].resources.limits.cpu",
         "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"),
        ("spec.containers.0.resources.limits.cpu", {}, "spec.containers[0].resources.limits.cpu",
         "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"),
        ("spec.containers.0.livenessProbe.httpGet.port", True, "spec.containers[0].livenessProbe.httpGet.port",
         f"{GO} bool into Go struct field HTTPGetAction.spec.containers.livenessProbe.httpGet.port of type int32"),
    ],
)  # fmt: skip
def test_wrong_types_are_told_in_gos_words(path: str, value: Any, field: str, message: str) -> None:
    assert walker.check(POD, changed(path, value)).problems == [Problem(field, "FieldValueTypeInvalid", message)]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("spec.terminationGracePeriodSeconds", 2**63 - 1),
        ("spec.terminationGracePeriodSeconds", -(2**63)),
        ("spec.priority", 2**31 - 1),
        ("spec.priority", -(2**31)),
    ],
)
def test_the_largest_numbers_of_a_type_are_of_it(path: str, value: int) -> None:
    assert walker.check(POD, changed(path, value)).problems == []


def test_bytes_must_be_base64() -> None:
    schema = schema_of(resources.SECRETS)
    secret = {"data": {"a": "aGVs\nbG8=", "b": "aGVsbG8="}}
    assert walker.check(schema, secret).problems == []
    assert secret == {"data": {"a": "aGVsbG8=", "b": "aGVsbG8="}}
    problems = walker.check(schema, {"data": {"a": "aGV$"}}).problems
    assert [problem.message for problem in problems] == ["illegal base64 data at input byte 3"]
    assert walker.check(schema, {"data": {"a": "aGVsbG8"}}).problems != []


def test_unknown_fields_are_named_and_pruned() -> None:
    pod = a_full_pod()
    pod["bogus"] = 1
    pod["spec"]["foo"] = {"a": 1}
    pod["spec"]["containers"][0]["bar"] = None
    checked = walker.check(POD, pod)
    assert checked.unknown == ["spec.containers[0].bar", "spec.foo", "bogus"]
    assert pod == a_full_pod()


def test_a_flood_of_unknown_fields_is_cut_but_pruned() -> None:
    pod = a_full_pod() | {f"x{n}": n for n in range(5000)}
    assert len(walker.check(POD, pod).unknown) == walker.FINDINGS_MAX
    assert pod == a_full_pod()


def test_null_fields_are_fields_that_are_not_there() -> None:
    pod = a_full_pod()
    pod["metadata"]["creationTimestamp"] = None
    pod["spec"]["nodeSelector"] = None
    pod["spec"]["containers"][0]["command"] = ["a", None]
    pod["metadata"]["labels"]["none"] = None
    assert walker.check(POD, pod) == walker.Checked()
    assert "creationTimestamp" not in pod["metadata"]
    assert "nodeSelector" not in pod["spec"]
    assert pod["spec"]["containers"][0]["command"] == ["a", ""]
    assert pod["metadata"]["labels"] == {"app": "web", "none": ""}


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("spec.containers.0.resources.limits.cpu", 1, "1"),
        ("spec.containers.0.resources.limits.cpu", 0.5, "500m"),
        ("spec.containers.0.resources.limits.memory", "1024Mi", "1Gi"),
        ("spec.containers.0.resources.limits.cpu", "100u", "1m"),
        ("spec.volumes.0.emptyDir.sizeLimit", "1024Mi", "1024Mi"),
        ("spec.volumes.0.emptyDir.sizeLimit", 2000000, "2000000"),
        ("metadata.creationTimestamp", "2026-01-01T02:00:00.5+02:00", "2026-01-01T00:00:00Z"),
        ("metadata.creationTimestamp", "0001-01-01T00:00:00+00:00", "0001-01-01T00:00:00Z"),
        ("spec.containers.0.livenessProbe.httpGet.port", "http", "http"),
    ],
)
def test_scalars_get_their_canonical_form(path: str, value: Any, expected: Any) -> None:
    pod = changed(path, value)
    assert walker.check(POD, pod) == walker.Checked()
    assert pod == changed(path, expected)


def test_empty_lists_and_maps_are_fields_that_are_not_there() -> None:
    pod = a_full_pod()
    pod["metadata"]["finalizers"] = []
    pod["spec"]["nodeSelector"] = {}
    pod["spec"]["containers"][0]["args"] = []
    assert walker.check(POD, pod) == walker.Checked()
    assert pod == a_full_pod()


def test_what_kubernetes_writes_even_when_empty_stays() -> None:
    pod = changed("spec.containers", [])
    assert walker.check(POD, pod) == walker.Checked()
    assert pod["spec"]["containers"] == []
    endpoints: dict[str, Any] = {"endpoints": [{"addresses": []}]}
    assert walker.check(schema_of(resources.ENDPOINTSLICES), endpoints) == walker.Checked()
    assert endpoints == {"endpoints": [{"addresses": []}]}
    secret = {"data": {"empty": ""}}
    assert walker.check(schema_of(resources.SECRETS), secret) == walker.Checked()
    assert secret == {"data": {"empty": ""}}


def test_micro_times_keep_their_six_decimals() -> None:
    schema = schema_of(resources.LEASES)
    lease = {"spec": {"renewTime": "2026-01-01T00:00:00Z", "acquireTime": "2026-01-01T00:00:00.123456Z"}}
    assert walker.check(schema, lease) == walker.Checked()
    assert lease["spec"]["renewTime"] == "2026-01-01T00:00:00.000000Z"
    assert lease["spec"]["acquireTime"] == "2026-01-01T00:00:00.123456Z"


def test_free_form_data_is_left_alone() -> None:
    data = {"anything": [{"goes": None}]}
    revision = {"data": data, "revision": 1}
    assert walker.check(schema_of(resources.CONTROLLERREVISIONS), revision) == walker.Checked()
    assert revision["data"] == {"anything": [{"goes": None}]}


_ODD = st.sampled_from([0, -1, 2**31, 2**40, 1.5, True, "", "x", "1", [], ["x"], {}, {"a": 1}, [1], [{}]])


def _paths(value: Any, path: str = "") -> list[str]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    below = [found for key, child in children for found in _paths(child, f"{path}.{key}".lstrip("."))]
    return [path, *below] if path else below


@pytest.fixture(scope="module")
def oracle() -> jsonschema.Draft202012Validator:
    published = json.loads(definitions.path_of_definitions().read_bytes())
    return jsonschema.Draft202012Validator({"$ref": "#/$defs/io.k8s.api.core.v1.Pod", **published})


def _is_type_error(error: jsonschema.ValidationError) -> bool:
    return error.validator in ("type", "oneOf")


@unhurried
@given(st.sampled_from(_paths(a_full_pod())), _ODD)
def test_types_are_judged_as_a_json_schema_validator_judges_them(
    oracle: jsonschema.Draft202012Validator, path: str, value: Any
) -> None:
    pod = changed(path, value)
    wrong = any(_is_type_error(error) for error in oracle.iter_errors(pod))
    checked = walker.check(POD, pod)
    # Where the walker knows more than types: ranges, and the form of quantities, times and of ports.
    stricter = ("number 2147483648", "number 1099511627776", "quantities", "parsing time", "suffix", "number 1.5")
    problems = [problem for problem in checked.problems if not any(word in problem.message for word in stricter)]
    if len(problems) == len(checked.problems):
        assert bool(problems) == wrong


@unhurried
@given(st.sampled_from(_paths(a_full_pod())), _ODD)
def test_what_was_checked_once_is_clean(path: str, value: Any) -> None:
    pod = changed(path, value)
    if not walker.check(POD, pod).problems:
        again = codec.copied(pod)
        assert walker.check(POD, again) == walker.Checked()
        assert again == pod


def test_schemas_of_one_type_are_shared() -> None:
    def containers(schema: Schema, *path: str) -> Schema:
        for step in path:
            schema = schema.properties[step]
        assert schema.items is not None
        return schema.items

    template = ("spec", "template", "spec", "containers")
    assert containers(schema_of(resources.DEPLOYMENTS), *template) is containers(POD, "spec", "containers")
