"""kubectl patches and decodes locally with Kubernetes' own code: what it makes of an input, we must make of it too."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from orchestrator.api import codec, resources
from orchestrator.api.patches import strategic
from orchestrator.api.schema import walker
from orchestrator.api.schema.definitions import schema_of

KUBECTL = shutil.which("kubectl")
pytestmark = pytest.mark.skipif(KUBECTL is None, reason="no kubectl on PATH")
DEPLOYMENT = schema_of(resources.DEPLOYMENTS)


def kubectl(home: Path, *arguments: str, given: Any) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "KUBECONFIG": os.devnull, "HOME": str(home)}
    return subprocess.run(
        [KUBECTL or "", *arguments, "--local", "-f", "-", "-o", "json"],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
        check=False,
    )


def settled(value: Any) -> Any:
    """Without what decoding would drop: directives, nulls, and what is empty."""
    if isinstance(value, dict):
        kept = {key: settled(child) for key, child in value.items() if not key.startswith("$") and child is not None}
        return {key: child for key, child in kept.items() if child not in ({}, [])}
    if isinstance(value, list):
        deletes = [item for item in value if isinstance(item, dict) and item.get("$patch") in ("delete", "replace")]
        return [settled(item) for item in value if item not in deletes]
    return value


class Dice:
    """Deployments and patches for them, the sort that `kubectl apply` sends, with directives."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def often(self, share: float = 0.5) -> bool:
        return self._random.random() < share

    def some(self, words: str, most: int = 3) -> list[str]:
        return self._random.sample(words, self._random.randint(1, most))

    def order(self, names: list[str], words: str) -> list[str]:
        mixed = list(names)
        for word in words:
            if word not in mixed and self.often():
                mixed.insert(self._random.randint(0, len(mixed)), word)
        return mixed

    def container(self, name: str) -> dict[str, Any]:
        made: dict[str, Any] = {"name": name, "image": f"{name}:{self._random.randint(1, 3)}"}
        if self.often():
            made["env"] = [{"name": n, "value": str(self._random.randint(0, 9))} for n in self.some("ABCDE")]
        if self.often(0.3):
            made["args"] = [str(self._random.randint(0, 9))]
        return made

    def deployment(self) -> dict[str, Any]:
        spec = {
            "containers": [self.container(name) for name in self.some("abcd")],
            "volumes": [{"name": name, "configMap": {"name": "c"}} for name in self.some("vw", 2)],
            "tolerations": [{"key": "a"}],
        }
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {
                "name": "web",
                "namespace": "default",
                "finalizers": [f"f/{name}" for name in self.some("abc")],
            },
            "spec": {"replicas": 1, "template": {"metadata": {"labels": {"a": "1", "b": "2"}}, "spec": spec}},
        }

    def patch(self) -> dict[str, Any]:
        spec: dict[str, Any] = {}
        containers = [self.container(name) for name in self.some("abcde")]
        names = [container["name"] for container in containers]
        for container in containers:
            if "env" in container and self.often(0.3):
                order = self.order([entry["name"] for entry in container["env"]], "ABCDE")
                container["$setElementOrder/env"] = [{"name": name} for name in order]
        if self.often():
            spec["$setElementOrder/containers"] = [{"name": name} for name in self.order(names, "abcde")]
        doomed = [name for name in "abcde" if name not in names and self.often(0.2)]
        spec["containers"] = containers + [{"$patch": "delete", "name": name} for name in doomed]
        if self.often():
            spec["volumes"] = [{"name": "v", "hostPath": {"path": "/x"}, "$retainKeys": ["name", "hostPath"]}]
        if self.often(0.3):
            spec["tolerations"] = [{"key": "b"}]
        added = [f"f/{name}" for name in self.some("cde", 2)]
        metadata = {"$deleteFromPrimitiveList/finalizers": ["f/a"], "finalizers": added}
        template = {"metadata": {"labels": {"a": None, "c": "3"}}, "spec": spec}
        return {"metadata": metadata, "spec": {"template": template}}


@pytest.mark.parametrize("seed", range(10))
def test_a_strategic_merge_patch_comes_out_as_kubectl_makes_it(tmp_path: Path, seed: int) -> None:
    dice = Dice(seed)
    deployment, patch = dice.deployment(), dice.patch()
    theirs = kubectl(tmp_path, "patch", "--type", "strategic", "-p", json.dumps(patch), given=deployment)
    assert theirs.returncode == 0, theirs.stderr
    ours = strategic.apply(deployment, patch, DEPLOYMENT)
    assert settled(ours) == settled(codec.decode(theirs.stdout))


def a_deployment(path: str, value: Any) -> dict[str, Any]:
    container = {"name": "a", "image": "b", "env": [{"name": "a"}], "livenessProbe": {"httpGet": {"port": 80}}}
    spec: dict[str, Any] = {"containers": [container], "volumes": [{"name": "v", "emptyDir": {}}]}
    made = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "x"},
        "spec": {"template": {"spec": spec}},
    }
    *parents, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    place: Any = made
    for step in parents:
        place = place[step]
    place[last] = value
    return made


IN_POD = "spec.template.spec"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("spec", "x"),
        ("spec.replicas", "1"),
        ("spec.replicas", 1.5),
        ("spec.replicas", 3_000_000_000),
        ("metadata.labels", {"a": 1}),
        ("metadata.creationTimestamp", "x"),
        ("metadata.creationTimestamp", "2026-02-30T00:00:00Z"),
        ("metadata.creationTimestamp", 1),
        (f"{IN_POD}.containers", {}),
        (f"{IN_POD}.containers.0", "x"),
        (f"{IN_POD}.containers.0.command", [1]),
        (f"{IN_POD}.containers.0.env.0.value", True),
        (f"{IN_POD}.containers.0.livenessProbe.httpGet.port", True),
        (f"{IN_POD}.containers.0.resources", {"limits": {"cpu": "x"}}),
        (f"{IN_POD}.containers.0.resources", {"limits": {"cpu": {}}}),
        (f"{IN_POD}.containers.0.resources", {"limits": []}),
        (f"{IN_POD}.volumes.0.emptyDir", {"sizeLimit": "1kk"}),
        (f"{IN_POD}.hostNetwork", "true"),
    ],
)
def test_wrong_types_are_refused_with_the_words_of_kubernetes_own_decoder(
    tmp_path: Path, path: str, value: Any
) -> None:
    deployment = a_deployment(path, value)
    theirs = kubectl(tmp_path, "set", "env", "X=Y", given=deployment)
    assert theirs.returncode != 0
    (problem, *_) = walker.check(DEPLOYMENT, deployment).problems
    assert theirs.stderr.strip().endswith(problem.message)
