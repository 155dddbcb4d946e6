from __future__ import annotations

from typing import Any

import jsonpatch
import pytest
from hypothesis import given

from orchestrator.api import resources
from orchestrator.api.patches import BadPatch, PatchRejected, PatchTooLarge, json, merge, strategic
from orchestrator.api.schema.definitions import schema_of
from tests.support.api import json_objects, unhurried

SCHEMA = schema_of(resources.DEPLOYMENTS)


def a_deployment(**template_spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "web"}, "spec": {"replicas": 1, "template": {"spec": template_spec}}}


def template_spec(obj: dict[str, Any]) -> Any:
    return obj["spec"]["template"]["spec"]


def in_template(**spec: Any) -> dict[str, Any]:
    return {"spec": {"template": {"spec": spec}}}


A = {"name": "a", "image": "a:1"}
B = {"name": "b", "image": "b:1"}
C = {"name": "c", "image": "c:1"}


@pytest.mark.parametrize(
    ("present", "patch", "expected"),
    [
        pytest.param([A, B], [{"name": "b", "image": "b:2"}], [A, {"name": "b", "image": "b:2"}], id="set-image"),
        pytest.param([A], [B], [B, A], id="an-item-that-is-new-goes-first"),
        pytest.param([A, B], [{"$patch": "delete", "name": "a"}], [B], id="delete"),
        pytest.param([A, B], [{"$patch": "replace"}, C], [C], id="replace"),
        pytest.param([A, B], [{"$patch": "replace"}], [], id="replace-by-nothing"),
        pytest.param([A], [{"name": "a", "image": None}], [{"name": "a"}], id="null-removes-a-field"),
        pytest.param(
            [A],
            [{"name": "a", "resources": {"limits": {"cpu": "1"}, "requests": None}}],
            [{**A, "resources": {"limits": {"cpu": "1"}}}],
            id="nulls-in-what-is-new-vanish",
        ),
        pytest.param(
            [{**A, "env": [{"name": "X", "value": "1"}]}],
            [{"name": "a", "env": [{"name": "Y", "value": "2"}]}],
            [{**A, "env": [{"name": "Y", "value": "2"}, {"name": "X", "value": "1"}]}],
            id="lists-in-lists",
        ),
        pytest.param(
            [{**A, "args": ["1", "2"]}], [{"name": "a", "args": ["3"]}], [{**A, "args": ["3"]}], id="atomic-list"
        ),
    ],
)
def test_lists_merge_by_their_key(present: Any, patch: Any, expected: Any) -> None:
    obj = a_deployment(containers=present)
    assert template_spec(strategic.apply(obj, in_template(containers=patch), SCHEMA))["containers"] == expected
    assert obj == a_deployment(containers=present)


@pytest.mark.parametrize(
    ("present", "patch", "order", "expected"),
    [
        pytest.param([A, B, C], [], ["c", "a"], ["b", "c", "a"], id="an-order-alone"),
        pytest.param([A, B], [C], ["a", "c", "b"], ["a", "c", "b"], id="a-new-item-has-its-place"),
        pytest.param([A, B], [C, A], ["c", "a"], ["c", "a", "b"], id="what-only-the-server-has-stays-behind"),
        pytest.param([A, B], [{"name": "b", "$patch": "delete"}], ["a"], ["a"], id="kubectl-apply-removes-one"),
        pytest.param(
            [C, A, B],
            [{"name": "d"}, B, {"name": "a", "$patch": "delete"}],
            ["d", "b"],
            ["c", "d", "b"],
            id="one-for-one",
        ),
    ],
)
def test_set_element_order(present: Any, patch: Any, order: Any, expected: Any) -> None:
    body = in_template(**{"containers": patch, "$setElementOrder/containers": [{"name": n} for n in order]})
    if not patch:
        del template_spec(body)["containers"]
    patched = strategic.apply(a_deployment(containers=present), body, SCHEMA)
    assert [c["name"] for c in template_spec(patched)["containers"]] == expected


def test_retain_keys_drops_the_fields_it_does_not_name() -> None:
    obj: dict[str, Any] = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    patch = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    assert strategic.apply(obj, patch, SCHEMA) == {"spec": {"strategy": {"type": "Recreate"}}}


def test_a_volume_changes_its_source() -> None:
    obj = a_deployment(volumes=[{"name": "v", "emptyDir": {}}])
    volume = {"name": "v", "configMap": {"name": "c"}, "$retainKeys": ["name", "configMap"]}
    patched = strategic.apply(obj, in_template(volumes=[volume]), SCHEMA)
    assert template_spec(patched)["volumes"] == [{"name": "v", "configMap": {"name": "c"}}]


def test_lists_of_primitives_merge_as_sets() -> None:
    obj = {"metadata": {"finalizers": ["a", "b", "c"]}}
    patch = {
        "metadata": {
            "$deleteFromPrimitiveList/finalizers": ["b"],
            "$setElementOrder/finalizers": ["d", "a"],
            "finalizers": ["d"],
        }
    }
    assert strategic.apply(obj, patch, SCHEMA) == {"metadata": {"finalizers": ["d", "a", "c"]}}


def test_a_list_that_is_not_there_yet_is_taken_as_it_is() -> None:
    # Two ports with one number merge into one where there is a list already; a fresh list keeps both.
    ports = [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]
    patch = {"spec": {"ports": [*ports, {"$patch": "delete", "port": 80}]}}
    patched = strategic.apply({"spec": {}}, patch, schema_of(resources.SERVICES))
    assert patched == {"spec": {"ports": ports}}


def test_a_map_is_replaced_or_emptied_as_a_whole() -> None:
    obj: dict[str, Any] = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    replace = {"spec": {"strategy": {"$patch": "replace", "type": "Recreate"}}}
    assert strategic.apply(obj, replace, SCHEMA) == {"spec": {"strategy": {"type": "Recreate"}}}
    assert strategic.apply(obj, {"spec": {"strategy": {"$patch": "delete"}}}, SCHEMA) == {"spec": {"strategy": {}}}
    with pytest.raises(BadPatch):
        strategic.apply(obj, {"spec": {"strategy": {"$patch": "odd"}}}, SCHEMA)


def test_conditions_and_addresses_of_a_node_merge_by_type() -> None:
    schema = schema_of(resources.NODES)
    node = {"status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Disk", "status": "False"}]}}
    patch = {"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}
    assert strategic.apply(node, patch, schema)["status"]["conditions"] == [
        {"type": "Ready", "status": "Unknown"},
        {"type": "Disk", "status": "False"},
    ]


def test_a_taint_list_is_merged_by_key_and_labels_are_a_map() -> None:
    schema = schema_of(resources.NODES)
    node = {"metadata": {"labels": {"a": "1", "b": "2"}}, "spec": {"taints": [{"key": "x", "effect": "NoSchedule"}]}}
    patch = {"metadata": {"labels": {"a": None, "c": "3"}}, "spec": {"unschedulable": True}}
    assert strategic.apply(node, patch, schema) == {
        "metadata": {"labels": {"b": "2", "c": "3"}},
        "spec": {"taints": [{"key": "x", "effect": "NoSchedule"}], "unschedulable": True},
    }


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        ([], "json: cannot unmarshal value into Go value of type map[string]interface {}"),
        (in_template(containers=[{"image": "x"}]), "map: map[image:x] does not contain declared merge key: name"),
        (in_template(containers=[{"$patch": "weird", "name": "a"}]), "unknown patch type: weird in map: "),
        (in_template(**{"$setElementOrder/containers": "a"}), "invalid patch format of setElementOrder list"),
        ({"spec": {"$retainKeys": [], "replicas": 2}}, "invalid patch format of retainKeys"),
        (
            in_template(**{"containers": [B, A], "$setElementOrder/containers": [{"name": "a"}, {"name": "b"}]}),
            "The order in patch list:",
        ),
        (in_template(containers=[{"name": {"a": 1}}]), "map: map[name:map[a:1]] does not contain declared merge key"),
    ],
)
def test_a_patch_that_makes_no_sense_is_refused(patch: Any, message: str) -> None:
    with pytest.raises(BadPatch) as caught:
        strategic.apply(a_deployment(containers=[A, B]), patch, SCHEMA)
    assert str(caught.value).startswith(message)


# The examples of RFC 7386, appendix A, as far as they are objects.
@pytest.mark.parametrize(
    ("original", "patch", "expected"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patch(original: Any, patch: Any, expected: Any) -> None:
    assert merge.apply(original, patch) == expected


def test_merge_patch_must_be_an_object() -> None:
    with pytest.raises(BadPatch):
        merge.apply({}, ["a"])


@unhurried
@given(json_objects, json_objects)
def test_without_keyed_lists_strategic_merge_is_merge_patch_without_nulls(obj: Any, patch: Any) -> None:
    # Free-form data (no schema) is what both agree on; strategic merge also drops nulls inside what it takes over.
    assert strip_nulls(strategic.apply(obj, patch, SCHEMA)) == strip_nulls(merge.apply(obj, patch))


def strip_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: strip_nulls(v) for k, v in value.items() if v is not None}
    return [strip_nulls(v) for v in value] if isinstance(value, list) else value


@unhurried
@given(json_objects, json_objects)
def test_json_patch_makes_one_object_of_another(source: Any, target: Any) -> None:
    operations = jsonpatch.make_patch(source, target).patch
    assert json.apply(source, operations) == target


@pytest.mark.parametrize(
    ("operations", "error"),
    [
        pytest.param({}, BadPatch, id="no-list"),
        pytest.param([1], BadPatch, id="no-operation"),
        pytest.param([{"op": "fly", "path": "/a"}], PatchRejected, id="unknown-operation"),
        pytest.param([{"op": "add", "path": "a"}], PatchRejected, id="no-pointer"),
        pytest.param([{"op": "add", "path": "/a/x", "value": 1}], PatchRejected, id="below-a-scalar"),
        pytest.param([{"op": "remove", "path": "/zzz"}], PatchRejected, id="nothing-to-remove"),
        pytest.param([{"op": "test", "path": "/a", "value": 2}], PatchRejected, id="failed-test"),
        pytest.param([{"op": "replace", "path": "", "value": 2}], PatchRejected, id="no-object-any-more"),
        pytest.param([{"op": "add", "path": "/l/7", "value": 2}], PatchRejected, id="past-the-end"),
        pytest.param([{"op": "test", "path": "/a", "value": 1}] * 10_001, PatchTooLarge, id="too-many"),
        pytest.param(
            [{"op": "copy", "from": "/l", "path": "/l/-"}] * 40, PatchTooLarge, id="copies-that-double-for-ever"
        ),
    ],
)
def test_json_patch_refuses(operations: Any, error: type[Exception]) -> None:
    obj = {"a": 1, "l": ["x"]}
    with pytest.raises(error) as caught:
        json.apply(obj, operations)
    assert type(caught.value) is error
    assert obj == {"a": 1, "l": ["x"]}


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        (
            {"op": "replace", "path": "/nope/x", "value": "eA=="},
            "replace operation does not apply: doc is missing path: /nope/x: missing value",
        ),
        (
            {"op": "replace", "path": "/data/x", "value": "eA=="},
            "replace operation does not apply: doc is missing key: /data/x: missing value",
        ),
        ({"op": "test", "path": "/data/pw", "value": "eA=="}, "testing value /data/pw failed: test failed"),
        ({"op": "test", "path": "/data", "value": {"x": "y"}}, "testing value /data failed: test failed"),
        ({"op": "test", "path": "/n", "value": True}, "testing value /n failed: test failed"),
        (
            {"op": "test", "path": "/l/9", "value": 1},
            "error in test for path: '/l/9': Unable to access invalid index: 9",
        ),
        (
            {"op": "remove", "path": "/data/none"},
            "error in remove for path: '/data/none': Unable to remove nonexistent key: none: missing value",
        ),
        (
            {"op": "copy", "path": "/metadata/labels"},
            "copy operation failed to decode from: operation, missing from field: missing value",
        ),
        (
            {"op": "move", "from": "/x/y", "path": "/z"},
            "move operation does not apply: doc is missing from path: /x/y: missing value",
        ),
        ({"op": "move", "from": "/data", "path": "/data/x"}, "error in move for path: '/data/x': it is within /data"),
        (
            {"op": "add", "path": "/l/x", "value": 1},
            "error in add for path: '/l/x': value was not a proper array index",
        ),
        ({"op": "add", "path": "/l/1_0", "value": 1}, "error in add for path: '/l/1_0': value was not a proper array"),
        ({"op": "add", "value": 1}, "add operation failed to decode path: missing value"),
        ({"op": ["add"], "path": "/x"}, "Unexpected kind: unknown"),
    ],
)
def test_json_patch_errors_name_operation_and_path_and_show_nothing_of_the_object(
    operation: dict[str, Any], message: str
) -> None:
    with pytest.raises(PatchRejected) as caught:
        json.apply({"data": {"pw": "aHVudGVyMg=="}, "n": 1, "l": [1]}, [operation])
    assert str(caught.value).startswith(message)
    assert "aHVudGVyMg" not in str(caught.value)


@pytest.mark.parametrize("value", ["text", 7, 1.5, True, None])
@pytest.mark.parametrize("op", ["add", "replace", "remove", "test", "move", "copy"])
@pytest.mark.parametrize("path", ["/data/0", "/data/0/x"])
def test_json_patch_finds_nothing_within_a_value_that_has_no_parts(op: str, path: str, value: Any) -> None:
    operation = {"op": op, "path": path, "value": "t"} if op not in ("move", "copy") else {"op": op, "from": path}
    with pytest.raises(PatchRejected, match="missing"):
        json.apply({"data": value}, [{"path": "/x", **operation}])


def test_a_json_patch_cannot_make_what_is_too_deep_or_takes_too_long() -> None:
    deep: dict[str, Any] = {}
    for _ in range(250):
        deep = {"a": deep}
    bottom = "/a" * 250
    nested = [{"op": "add", "path": "/x", "value": deep}, {"op": "add", "path": "/y", "value": deep}]
    with pytest.raises(PatchRejected, match="exceeded max depth"):
        json.apply({}, [*nested, {"op": "move", "from": "/x", "path": f"/y{bottom}/b"}])
    with pytest.raises(PatchTooLarge):
        json.apply({"l": [1] * 1_000_000}, [{"op": "add", "path": "/l/0", "value": 1}] * 100)


def test_strategic_directives_over_long_lists_take_time_that_their_length_allows() -> None:
    # Each of these looked every item up in a list; with these lengths that takes many minutes.
    many = [f"f{n}" for n in range(60_000)]
    removed = strategic.apply(
        {"metadata": {"finalizers": many}}, {"metadata": {"$deleteFromPrimitiveList/finalizers": many[1:]}}, SCHEMA
    )
    assert removed == {"metadata": {"finalizers": ["f0"]}}
    containers = [{"name": name} for name in many]
    doomed = [{"$patch": "delete", "name": name} for name in many[1:]]
    patched = strategic.apply(a_deployment(containers=containers), in_template(containers=doomed), SCHEMA)
    assert template_spec(patched)["containers"] == [{"name": "f0"}]
    labels = {name: "" for name in many}
    kept = strategic.apply({"metadata": {"labels": labels}}, {"metadata": {"labels": {"$retainKeys": many}}}, SCHEMA)
    assert kept == {"metadata": {"labels": labels}}
