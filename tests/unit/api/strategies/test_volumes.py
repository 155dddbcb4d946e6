"""Volumes and mounts: one source each, known names, paths that stay inside."""

from __future__ import annotations

import pytest

from orchestrator.api.strategies.pods import PODS_STRATEGY
from tests.support.manifests import a_container, a_pod, refusals

MODE = "must be a number between 0 and 0777 (octal), both inclusive"


def volume_refusals(*volumes, mounts=(), **container):
    mounts = [{"name": name, "mountPath": path} for name, path in mounts] + container.pop("volumeMounts", [])
    return refusals(
        PODS_STRATEGY,
        a_pod(
            serviceAccountName="default",
            volumes=list(volumes),
            containers=[a_container(volumeMounts=mounts, **container)],
        ),
    )


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        pytest.param({"emptyDir": {}}, [], id="empty-dir"),
        pytest.param(
            {"emptyDir": {"sizeLimit": "-1"}},
            [".emptyDir.sizeLimit: Forbidden: SizeLimit field must be a valid resource quantity"],
            id="negative-size",
        ),
        pytest.param(
            {"emptyDir": {}, "hostPath": {"path": "/x"}},
            [".hostPath: Forbidden: may not specify more than 1 volume type"],
            id="two-types",
        ),
        pytest.param({"hostPath": {"path": ""}}, [".hostPath.path: Required value"], id="no-host-path"),
        pytest.param(
            {"hostPath": {"path": "/a/../b"}},
            [".hostPath.path: Invalid value: \"/a/../b\": must not contain '..'"],
            id="climbing-host-path",
        ),
        pytest.param(
            {"hostPath": {"path": "/a", "type": "Pipe"}},
            [
                '.hostPath.type: Unsupported value: "Pipe": supported values: "", "BlockDevice", "CharDevice", '
                '"Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"'
            ],
            id="host-path-type",
        ),
        pytest.param({"secret": {}}, [".secret.secretName: Required value"], id="no-secret"),
        pytest.param({"configMap": {}}, [".configMap.name: Required value"], id="no-config-map"),
        pytest.param(
            {"secret": {"secretName": "s", "defaultMode": 0o1000}},
            [f".secret.defaultMode: Invalid value: 512: {MODE}"],
            id="mode",
        ),
        pytest.param(
            {"configMap": {"name": "c", "items": [{"key": "k", "path": "/etc"}]}},
            ['.configMap.items[0].path: Invalid value: "/etc": must be a relative path'],
            id="absolute-item",
        ),
        pytest.param(
            {"configMap": {"name": "c", "items": [{"key": "k", "path": "..x"}]}},
            [".configMap.items[0].path: Invalid value: \"..x\": must not start with '..'"],
            id="reserved-item",
        ),
        pytest.param(
            {"configMap": {"name": "c", "items": [{}]}},
            [".configMap.items[0].key: Required value", ".configMap.items[0].path: Required value"],
            id="empty-item",
        ),
        pytest.param(
            {"downwardAPI": {"items": [{"path": "x"}]}},
            [".downwardAPI: Required value: one of fieldRef and resourceFieldRef is required"],
            id="downward-from-nothing",
        ),
        pytest.param(
            {"downwardAPI": {"items": [{"path": "x", "fieldRef": {"fieldPath": "metadata.labels"}}]}}, [], id="labels"
        ),
        pytest.param(
            {"downwardAPI": {"items": [{"path": "x", "resourceFieldRef": {"resource": "limits.cpu"}}]}},
            [".downwardAPI.resourceFieldRef.containerName: Required value"],
            id="whose-limit",
        ),
        pytest.param(
            {"projected": {"sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 10}}]}},
            [
                ".projected.sources[0].serviceAccountToken.expirationSeconds: Invalid value: 10: may not specify a "
                "duration less than 10 minutes"
            ],
            id="short-token",
        ),
        pytest.param(
            {"projected": {"sources": [{"secret": {"name": "s"}, "configMap": {"name": "c"}}]}},
            [".projected.sources[0]: Forbidden: may not specify more than 1 volume type"],
            id="two-projections-in-one",
        ),
        pytest.param(
            {
                "projected": {
                    "sources": [
                        {"secret": {"name": "s", "items": [{"key": "a", "path": "x"}]}},
                        {"configMap": {"name": "c", "items": [{"key": "a", "path": "x"}]}},
                    ]
                }
            },
            ['.projected: Invalid value: "c": conflicting duplicate paths'],
            id="same-path-twice",
        ),
        pytest.param({"persistentVolumeClaim": {}}, [".persistentVolumeClaim.claimName: Required value"], id="claim"),
        pytest.param({"nfs": {"server": "s"}}, [".nfs.path: Required value"], id="nfs"),
    ],
)
def test_sources(source, expected):
    assert volume_refusals({"name": "v", **source}) == [f"spec.volumes[0]{e}" for e in expected]


def test_names():
    assert volume_refusals({"name": ""}) == ["spec.volumes[0].name: Required value"]
    assert volume_refusals({"name": "a"}, {"name": "a"}) == ['spec.volumes[1].name: Duplicate value: "a"']
    assert volume_refusals({"name": "a.b"}) == ['spec.volumes[0].name: Invalid value: "a.b": must not contain dots']


def test_a_token_needs_an_account():
    volume = {"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}
    assert refusals(PODS_STRATEGY, a_pod(volumes=[volume])) == [
        "spec.volumes[0].projected.sources[0].serviceAccountToken: Forbidden: must not be specified when "
        "serviceAccountName is not set"
    ]


@pytest.mark.parametrize(
    ("mount", "expected"),
    [
        pytest.param({"name": "v", "mountPath": "/d"}, [], id="good"),
        pytest.param({"name": "w", "mountPath": "/d"}, ['[0].name: Not found: "w"'], id="unknown"),
        pytest.param({"mountPath": "/d"}, ["[0].name: Required value", '[0].name: Not found: ""'], id="no-name"),
        pytest.param({"name": "v"}, ["[0].mountPath: Required value"], id="no-path"),
        pytest.param(
            {"name": "other", "mountPath": "/d"}, ['[0].name: Not found: "other"'], id="a-volume-that-is-not-there"
        ),
        pytest.param(
            {"name": "v", "mountPath": "/d", "subPath": "../x"},
            [".subPath: Invalid value: \"../x\": must not contain '..'"],
            id="climbing-sub-path",
        ),
        pytest.param(
            {"name": "v", "mountPath": "/d", "subPath": "a", "subPathExpr": "b"},
            ['[0].subPathExpr: Invalid value: "b": subPathExpr and subPath are mutually exclusive'],
            id="two-sub-paths",
        ),
        pytest.param(
            {"name": "v", "mountPath": "/d", "mountPropagation": "Both"},
            [
                '.mountPropagation: Unsupported value: "Both": supported values: "Bidirectional", "HostToContainer", '
                '"None"'
            ],
            id="propagation",
        ),
        pytest.param(
            {"name": "v", "mountPath": "/d", "mountPropagation": "Bidirectional"},
            [
                ".mountPropagation: Forbidden: Bidirectional mount propagation is available only to privileged "
                "containers"
            ],
            id="propagation-of-the-unprivileged",
        ),
        pytest.param(
            {"name": "v", "mountPath": "/d", "recursiveReadOnly": "Enabled"},
            [".recursiveReadOnly: Forbidden: may only be specified when readOnly is true"],
            id="recursive",
        ),
        pytest.param({"name": "v", "mountPath": "/d", "recursiveReadOnly": "Disabled"}, [], id="recursive-disabled"),
        pytest.param(
            {"name": "v", "mountPath": "/d", "readOnly": True, "recursiveReadOnly": "Enabled"}, [], id="recursive-good"
        ),
        *(
            pytest.param(
                {
                    "name": "v",
                    "mountPath": "/d",
                    "readOnly": True,
                    "recursiveReadOnly": "IfPossible",
                    "mountPropagation": propagation,
                },
                [".recursiveReadOnly: Forbidden: may only be specified when mountPropagation is None or not specified"]
                if propagation != "None"
                else [],
                id=f"recursive-{propagation}",
            )
            for propagation in ("None", "HostToContainer")
        ),
    ],
)
def test_mounts(mount, expected):
    found = volume_refusals({"name": "v"}, volumeMounts=[mount])
    assert found == [f"spec.containers[0].volumeMounts{e}" for e in expected]


def test_a_path_is_mounted_once():
    assert volume_refusals({"name": "a"}, {"name": "b"}, mounts=[("a", "/d"), ("b", "/d")]) == [
        'spec.containers[0].volumeMounts[1].mountPath: Invalid value: "/d": must be unique'
    ]


def test_a_volume_that_is_itself_wrong_is_not_there_to_mount():
    assert volume_refusals({"name": "a", "hostPath": {"path": ""}}, mounts=[("a", "/d")]) == [
        "spec.volumes[0].hostPath.path: Required value",
        'spec.containers[0].volumeMounts[0].name: Not found: "a"',
    ]


def test_block_devices_come_from_claims():
    found = volume_refusals({"name": "v"}, volumeDevices=[{"name": "v", "devicePath": "/dev/x"}])
    assert found == [
        'spec.containers[0].volumeDevices[0].name: Invalid value: "v": can only use volume source type of '
        "PersistentVolumeClaim or Ephemeral for block mode"
    ]
