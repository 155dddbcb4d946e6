"""A pod's files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node_agent.pods.facts import ConfigProblem, NodeFacts, References
from node_agent.volumes import prepare
from node_agent.volumes.atomic import write_files
from node_agent.volumes.paths import PodPaths
from node_agent.volumes.payload import File, Ingredients, payload
from orchestrator.api.views.configuration import ConfigMap, Secret
from tests.support.runtime import a_pod

FACTS = NodeFacts(name="n1", address="10.0.0.1")
GIVEN = Ingredients(
    refs=References(
        config_maps={"cm": ConfigMap(data={"a": "1", "b": "2"}, binary_data={"c": b"\x00"})},
        secrets={"se": Secret(data={"p": b"s"})},
    ),
    facts=FACTS,
    tokens={("", 3600): "jwt"},
)


def files_of(volume, given=GIVEN):
    pod = a_pod(volumes=[{"name": "v", **volume}], labels={"app": "web"})
    return payload(pod, pod.spec.volumes[0], given)


@pytest.mark.parametrize(
    ("volume", "files"),
    [
        pytest.param(
            {"configMap": {"name": "cm"}}, {"a": File(b"1"), "b": File(b"2"), "c": File(b"\x00")}, id="all-keys"
        ),
        pytest.param(
            {"configMap": {"name": "cm", "items": [{"key": "a", "path": "x/y", "mode": 256}], "defaultMode": 288}},
            {"x/y": File(b"1", 256)},
            id="one-key-elsewhere",
        ),
        pytest.param({"secret": {"secretName": "se", "defaultMode": 256}}, {"p": File(b"s", 256)}, id="secret"),
        pytest.param({"secret": {"secretName": "no", "optional": True}}, {}, id="optional"),
        pytest.param(
            {"downwardAPI": {"items": [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
            {"l": File(b'app="web"')},
            id="downward",
        ),
        pytest.param(
            {
                "projected": {
                    "sources": [
                        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}},
                        {"configMap": {"name": "cm", "items": [{"key": "a", "path": "a"}]}},
                    ]
                }
            },
            {"token": File(b"jwt"), "a": File(b"1")},
            id="projected",
        ),
        pytest.param({"emptyDir": {}}, None, id="no-files"),
    ],
)
def test_payload(volume, files):
    assert files_of(volume) == files


@pytest.mark.parametrize(
    ("volume", "message"),
    [
        pytest.param({"configMap": {"name": "no"}}, 'configmap "no" not found', id="missing"),
        pytest.param(
            {"configMap": {"name": "cm", "items": [{"key": "z", "path": "z"}]}},
            "references non-existent config key: z",
            id="key",
        ),
        pytest.param(
            {"configMap": {"name": "cm", "items": [{"key": "a", "path": "../z"}]}}, "invalid path", id="outside"
        ),
        pytest.param(
            {"projected": {"sources": [{"clusterTrustBundle": {"name": "b", "path": "p"}}]}},
            "no volume plugin projects one of its sources",
            id="a-source-unknown-here",
        ),
    ],
)
def test_bad_payload(volume, message):
    with pytest.raises(ConfigProblem, match=message):
        files_of(volume)


def read(directory: Path) -> dict[str, bytes]:
    top = [entry for entry in os.listdir(directory) if not entry.startswith("..")]
    found = {}
    for name in top:
        path = directory / name
        if path.is_dir():
            found.update(
                {str(Path(name) / p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}
            )
        else:
            found[name] = path.read_bytes()
    return found


names = st.sampled_from(["a", "b", "c/d", "c/e", "f.txt"])
versions = st.dictionaries(names, st.binary(max_size=4), max_size=4)


@given(first=versions, second=versions)
def test_a_volume_holds_exactly_what_was_written_last(tmp_path_factory, first, second):
    target = tmp_path_factory.mktemp("v") / "volume"
    write_files(target, {name: File(data) for name, data in first.items()})
    changed = write_files(target, {name: File(data) for name, data in second.items()})
    assert read(target) == second
    assert changed == (first != second)
    assert sum(entry.startswith("..") for entry in os.listdir(target)) == 2  # the link and its directory


def test_an_interrupted_write_is_cleaned_up(tmp_path):
    (tmp_path / "..half").mkdir()
    write_files(tmp_path, {"a": File(b"1")})
    assert not (tmp_path / "..half").exists()


def test_prepare_makes_everything_and_remove_takes_it_away(tmp_path):
    pod = a_pod(volumes=[{"name": "e", "emptyDir": {}}, {"name": "c", "configMap": {"name": "cm"}}])
    paths = PodPaths(tmp_path, "uid")
    ready = prepare.prepare(pod, paths, GIVEN)
    assert set(ready) == {"e", "c"}
    assert os.stat(ready["e"]).st_mode & 0o777 == 0o777
    assert paths.resolv_conf.read_text().startswith("search default.svc.cluster.local")
    prepare.remove(paths)
    assert not paths.root.exists()
    prepare.remove(paths)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount")
@pytest.mark.parametrize(
    ("volume", "is_mount"),
    [
        pytest.param({"secret": {"secretName": "se"}}, True, id="secret"),
        pytest.param({"projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}, True, id="token"),
        pytest.param({"emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}, True, id="memory"),
        pytest.param({"configMap": {"name": "cm"}}, False, id="config-map"),
    ],
)
def test_secrets_are_kept_in_memory_only(tmp_path, volume, is_mount):
    pod = a_pod(volumes=[{"name": "v", **volume}])
    paths = PodPaths(tmp_path, "uid")
    try:
        for _ in range(2):  # an agent that starts again prepares again
            ready = prepare.prepare(pod, paths, GIVEN)
            mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
            assert [mount[2] for mount in mounts if mount[1] == ready["v"]] == ["tmpfs"] * is_mount
    finally:
        prepare.remove(paths)
    assert not paths.root.exists()


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        pytest.param("Directory", "is not a directory", id="directory"),
        pytest.param("Socket", "is not a socket", id="socket"),
        pytest.param("CharDevice", "is not a character device", id="device"),
    ],
)
def test_a_host_path_of_the_wrong_type_is_refused(tmp_path, kind, message):
    file = tmp_path / "f"
    file.touch()
    pod = a_pod(volumes=[{"name": "h", "hostPath": {"path": str(file), "type": kind}}])
    with pytest.raises(ConfigProblem, match=f'MountVolume.SetUp failed for volume "h" : hostPath .* {message}'):
        prepare.prepare(pod, PodPaths(tmp_path, "uid"), GIVEN)


def test_a_link_may_not_lead_a_sub_path_out_of_its_volume(tmp_path):
    volume = tmp_path / "volume"
    volume.mkdir()
    os.symlink("/etc", volume / "out")
    with pytest.raises(ConfigProblem, match="leads out"):
        prepare.check_sub_path(str(volume), str(volume / "out"))
    os.chmod(volume, 0o2777)
    prepare.check_sub_path(str(volume), str(volume / "new" / "deep"))
    assert os.stat(volume / "new" / "deep").st_mode & 0o7777 == 0o2777
