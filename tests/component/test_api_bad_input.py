"""Whatever a client sends, the answer is never a fault of the server: mutated objects through every kind of write."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

from tests.support.manifests import a_service, a_typical_pod, a_workload
from tests.support.server import RunningServer, a_configmap

_ODD = [
    None, 0, -1, 1.5, "", "x", "é\u0000", True, [], {}, [None], {"a": None}, ["x"], {"a": {"b": [1]}}, 2**40,
    "99999999999999999999", "1Gi", "-", "10.96.0.1", "None", [{}], [[]], "2026-13-01T00:00:00Z",
]  # fmt: skip
_PATCHES = ("application/merge-patch+json", "application/strategic-merge-patch+json", "application/json-patch+json")
_OBJECTS = {
    "/api/v1/namespaces/default/pods": a_typical_pod("p"),
    "/api/v1/namespaces/default/services": a_service("s"),
    "/api/v1/namespaces/default/configmaps": a_configmap("c", a="b"),
    "/apis/apps/v1/namespaces/default/deployments": a_workload("Deployment", "d"),
    "/apis/apps/v1/namespaces/default/statefulsets": a_workload("StatefulSet", "s"),
}


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something is in an object."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in items:
        yield (*path, key)
        yield from paths(child, (*path, key))


def mutated(obj: dict[str, Any], dice: random.Random) -> dict[str, Any]:
    """The object with one thing missing or odd, sometimes two."""
    made = copy.deepcopy(obj)
    for _ in range(dice.choice((1, 1, 2))):
        path = dice.choice(list(paths(made)) or [()])
        if not path:
            continue
        target = made
        for key in path[:-1]:
            target = target[key]
        if dice.random() < 0.3:
            del target[path[-1]]
        else:
            target[path[-1]] = copy.deepcopy(dice.choice(_ODD))
    return made


def a_json_patch(obj: dict[str, Any], dice: random.Random) -> list[dict[str, Any]]:
    """One operation somewhere, as likely as not in vain."""
    path = "/" + "/".join(map(str, dice.choice(list(paths(obj)))))
    operation = dice.choice(("add", "remove", "replace", "test", "copy", "move", "twist"))
    return [{"op": operation, "path": path, "from": "/spec", "value": dice.choice(_ODD)}]


@pytest.mark.parametrize("seed", range(3))
async def test_no_input_is_answered_with_a_fault(running: RunningServer, seed: int) -> None:
    dice = random.Random(seed)
    codes: set[int] = set()
    async with aiohttp.ClientSession(running.url, headers={"Authorization": "Bearer admin"}) as session:

        async def send(method: str, path: str, body: Any, content_type: str = "application/json") -> None:
            headers = {"Content-Type": content_type}
            async with session.request(method, path, data=json.dumps(body), headers=headers) as answer:
                codes.add(answer.status)
                assert answer.status < 500, (method, path, body, await answer.text())

        for _ in range(60):
            path, obj = dice.choice(list(_OBJECTS.items()))
            one = f"{path}/{obj['metadata']['name']}"
            await send("POST", path, mutated(obj, dice))
            await send("POST", path, obj)
            await send("PUT", one + dice.choice(("", "/status", "/scale")), mutated(obj, dice))
            how = dice.choice(_PATCHES)
            patch = a_json_patch(obj, dice) if "json-patch" in how else mutated(obj, dice)
            await send("PATCH", one + dice.choice(("", "/status", "/scale")), patch, how)
            options = {"gracePeriodSeconds": 0, "propagationPolicy": "Background", "preconditions": {"uid": "x"}}
            await send("DELETE", one, mutated(options, dice))
    assert {200, 201, 400, 422} <= codes
