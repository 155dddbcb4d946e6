"""A create by template is the very create that all stages would have made, or there is no template."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.api import codec
from orchestrator.api.doors import MAIN
from orchestrator.api.kinds import BUILT_IN, Kind
from orchestrator.api.objects import Object
from orchestrator.server.admission.chain import AdmissionChain, build_admission
from orchestrator.server.admission.reads import Reads
from orchestrator.server.authentication.base import User
from orchestrator.server.dice import Dice
from orchestrator.server.writing import templates
from orchestrator.server.writing.decide import Commit, decide, mutate
from orchestrator.server.writing.facts import Facts, is_current
from orchestrator.server.writing.templates import Template, Templates
from tests.support.api import a_full_pod, unhurried
from tests.support.security import ADMIN, FakeObjects, a_namespace, a_service_account

ADMISSION = build_admission()
CHANCE = Random(3)


def a_kind(plural: str) -> Kind:
    kind = BUILT_IN.find("", "v1", plural)
    assert kind is not None
    return kind


PODS, SERVICES, CONFIGMAPS = map(a_kind, ("pods", "services", "configmaps"))


def a_cluster() -> FakeObjects:
    return FakeObjects(
        a_namespace(), a_service_account(), a_service_account("quiet", automountServiceAccountToken=False)
    )


def facts(**given: Any) -> Facts:
    known: dict[str, Any] = {
        "now": 1_700_000_000.0,
        "dice": Dice(12345),
        "user": ADMIN,
        "namespace": "default",
        "name": "",
        "options": {},
        "is_dry_run": False,
        "objects": a_cluster(),
        "admission": ADMISSION,
        "ledgers": {},
    }
    return Facts(**{**known, **given})


def a_body(metadata: Object, spec: Object, **more: Any) -> bytes:
    return codec.encode({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, **more})


def in_full(data: bytes, known: Facts) -> bytes:
    """What all stages make of a body."""
    obj = codec.decode(data)
    obj["metadata"].setdefault("namespace", "default")
    mutate(PODS, MAIN, None, obj, known)
    decision = decide(PODS, MAIN, None, obj, known)
    assert isinstance(decision, Commit), decision
    return decision.shown


def understood(data: bytes) -> Callable[[], Object]:
    def again() -> Object:
        obj = codec.decode(data)
        obj["metadata"].setdefault("namespace", "default")
        return obj

    return again


def template_of(data: bytes, known: Facts, kind: Kind = PODS) -> Template | None:
    seen = templates.sketch(data, kind)
    assert seen is not None
    return templates.learned(kind, seen, understood(data), known, CHANCE)


def by_template(template: Template, data: bytes, known: Facts) -> bytes:
    seen = templates.sketch(data, PODS)
    assert seen is not None
    return templates.created(PODS, template, seen, known).shown


SPEC: Object = {"containers": [{"name": "main", "image": "nginx:1.27"}]}
FULL: Object = {key: value for key, value in a_full_pod()["spec"].items() if key != "priority"}
specs = st.sampled_from(
    [
        SPEC,
        FULL,
        {**SPEC, "serviceAccountName": "quiet"},
        {**SPEC, "schedulingGates": [{"name": "a"}], "hostname": "here"},
        {"containers": [{"name": "main", "image": "a", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}]},
        {
            **SPEC,
            "volumes": [{"name": "kube-api-access-mine", "emptyDir": {}}],
            "tolerations": [{"operator": "Exists"}],
        },
    ]
)
labels = st.dictionaries(st.sampled_from(["app", "tier", "name"]), st.sampled_from(["web", "main", ""]), max_size=2)
names = st.from_regex(r"[a-z]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True)
own_facts = st.builds(
    lambda bits, now: {"dice": Dice(bits), "now": now}, st.integers(0, (1 << Dice.BITS) - 1), st.floats(0, 4e9)
)
OWNER = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "u", "controller": True}


@unhurried
@given(
    specs, labels, names, names, st.booleans(), own_facts, own_facts, st.sampled_from(["x", "main", "web", "default"])
)
def test_a_create_by_template_is_byte_for_byte_the_create_in_full(
    spec: Object,
    labelled: dict[str, str],
    first: str,
    second: str,
    generates: bool,
    at_first: dict[str, Any],
    at_second: dict[str, Any],
    odd: str,
) -> None:
    rest = {"labels": labelled, "ownerReferences": [OWNER], "annotations": {"a": odd}}
    bodies = [
        a_body({"generateName": "web-", **rest} if generates else {"name": name, **rest}, spec)
        for name in (first, second, odd)
    ]
    template = template_of(bodies[0], facts(**at_first))
    assert template is not None
    for body in bodies:
        known = facts(**at_second)
        assert by_template(template, body, known) == in_full(body, known)
    sketches = [templates.sketch(body, PODS) for body in bodies]
    assert len({sketch.rest for sketch in sketches if sketch is not None}) == 1


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b'{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"},"spec":{} }', id="a-blank"),
        pytest.param(b'{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"},"spec":{},"spec":{}}', id="twice"),
        pytest.param(b'{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","name":"b"},"spec":{}}', id="name-twice"),
        pytest.param(b'{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"},"spec":{},"x":1}', id="unknown"),
        pytest.param(b'{"apiVersion":"v1","kind":"Pod","metadata":{"name":1},"spec":{}}', id="no-name"),
        pytest.param(b'{"apiVersion":"v1","kind":"Pod","metadata":[],"spec":{}}', id="no-metadata"),
        pytest.param(
            b'{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","generateName":"b"},"spec":{}}', id="both"
        ),
        pytest.param(b'{"apiVersion":"v2","kind":"Pod","metadata":{"name":"a"},"spec":{}}', id="another-version"),
        pytest.param(b"{", id="no-json"),
        pytest.param(b"[]", id="no-object"),
    ],
)
def test_what_is_not_plain_is_created_in_full(data: bytes) -> None:
    assert templates.sketch(data, PODS) is None


def test_an_object_that_was_read_and_is_another_ends_its_templates() -> None:
    cluster = a_cluster()
    template = template_of(a_body({"name": "a"}, SPEC), facts(objects=cluster))
    assert template is not None
    assert {(resource.plural, name) for resource, _, name, _ in template.read} == {
        ("namespaces", "default"),
        ("serviceaccounts", "default"),
    }
    assert is_current(template.read, cluster)
    cluster.put(*a_service_account(imagePullSecrets=[{"name": "s"}]))
    assert not is_current(template.read, cluster)
    cluster = a_cluster()
    cluster.put(*a_namespace(phase="Terminating"))
    assert not is_current(template.read, cluster)


def test_everything_that_a_create_depends_on_is_in_its_key() -> None:
    seen = templates.sketch(a_body({"name": "a"}, SPEC), PODS)
    assert seen is not None
    keys = {
        templates.key_of_create(PODS, generation, seen, facts(**given))
        for generation, given in (
            (1, {}),
            (2, {}),
            (1, {"namespace": "other"}),
            (1, {"user": User("jane")}),
            (1, {"user": User("jane", ("g",))}),
            (1, {"user": User("jane", (), "uid")}),
            (1, {"user": User("jane", (), "", {"a": ("b",)})}),
            (1, {"options": {"fieldValidation": "Strict"}}),
        )
    }
    assert len(keys) == 8


class Silent:
    """A plugin that does not say what it reads."""

    def mutate(self, request: Any) -> None:
        pass

    def validate(self, request: Any) -> None:
        pass


class Reading(Silent):
    def __init__(self, reads: Reads) -> None:
        self._reads = reads

    def reads_of(self, kind: Kind) -> Reads:
        return self._reads


class Labels(Reading):
    """Copies what is the object's own into a label: no two objects are alike."""

    def __init__(self, own: Callable[[Any], str]) -> None:
        super().__init__(Reads.TEMPLATE)
        self._own = own

    def mutate(self, request: Any) -> None:
        request.obj["metadata"]["labels"] = {"own": self._own(request)}


@pytest.mark.parametrize(
    ("kind", "link", "expected"),
    [
        pytest.param(PODS, Reading(Reads.TEMPLATE | Reads.OBJECTS), True, id="says-so"),
        pytest.param(PODS, Silent(), False, id="a-plugin-that-says-nothing"),
        pytest.param(PODS, Reading(Reads.NAME), False, id="one-that-reads-the-name"),
        pytest.param(PODS, Reading(Reads.CLOCK), False, id="one-that-reads-the-time"),
        pytest.param(SERVICES, Reading(Reads(0)), False, id="a-kind-that-claims"),
        pytest.param(CONFIGMAPS, Reading(Reads(0)), False, id="a-kind-whose-names-are-not-known-to-be-plain"),
    ],
)
def test_who_may_have_templates(kind: Kind, link: Any, expected: bool) -> None:
    assert templates.may_have_templates(kind, AdmissionChain([link])) is expected
    assert Templates(AdmissionChain([link]), CHANCE).allow(kind, 1) is expected


@pytest.mark.parametrize(
    "own",
    [
        pytest.param(lambda request: request.obj["metadata"]["name"], id="the-name"),
        pytest.param(lambda request: str(hash(request.obj["metadata"]["name"])), id="something-made-of-the-name"),
        pytest.param(lambda request: request.dice.name_suffix(), id="chance"),
        pytest.param(lambda request: request.dice.uid()[:8], id="a-part-of-the-uid"),
    ],
)
def test_a_plugin_that_reads_more_than_it_says_gets_no_template(own: Callable[[Any], str]) -> None:
    chain = AdmissionChain([Labels(own)])
    assert template_of(a_body({"name": "a"}, SPEC), facts(admission=chain)) is None


def test_a_refused_or_warned_about_object_gets_no_template() -> None:
    assert template_of(a_body({"name": "a"}, {"containers": []}), facts()) is None
    assert template_of(a_body({"name": "a"}, {**SPEC, "serviceAccountName": "gone"}), facts()) is None
    assert template_of(a_body({"generateName": "a."}, SPEC), facts()) is None
    twice = [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]
    warned = {"containers": [{"name": "main", "image": "nginx", "env": twice}]}
    assert template_of(a_body({"name": "a"}, warned), facts()) is None


class Listing(Reading):
    """Looks at all objects of a kind: nobody knows which of them the outcome depends on."""

    def __init__(self, look: Callable[[Any], object]) -> None:
        super().__init__(Reads.TEMPLATE | Reads.OBJECTS)
        self._look = look

    def mutate(self, request: Any) -> None:
        self._look(request.objects)


@pytest.mark.parametrize(
    "look",
    [
        pytest.param(lambda objects: list(objects.list(SERVICES.resource, "default")), id="a-list"),
        pytest.param(lambda objects: list(objects.by_index(PODS.resource, "spec.nodeName", "n1")), id="an-index"),
    ],
)
def test_a_create_that_depends_on_a_list_gets_no_template(look: Callable[[Any], object]) -> None:
    chain = AdmissionChain([Listing(look)])
    assert template_of(a_body({"name": "a"}, SPEC), facts(admission=chain)) is None


def test_a_template_of_objects_that_have_changed_is_not_found_again_and_takes_no_room() -> None:
    known, cluster = Templates(ADMISSION, CHANCE), a_cluster()
    data = a_body({"name": "a"}, SPEC)
    seen = templates.sketch(data, PODS)
    assert seen is not None
    key = templates.key_of_create(PODS, 1, seen, facts())
    for _ in range(2):
        known.meet(key, PODS, seen, understood(data), facts(objects=cluster))
    assert known.find(key, cluster) is not None
    assert known.bytes > 0
    cluster.put(*a_service_account(imagePullSecrets=[{"name": "s"}]))
    assert known.find(key, cluster) is None
    assert known.bytes == 0


def test_templates_are_made_the_second_time_and_bounded_in_bytes() -> None:
    known, cluster = Templates(ADMISSION, CHANCE), a_cluster()

    def create(number: int) -> bool:
        spec = {**SPEC, "nodeSelector": {"pad": "x" * 60, "number": str(number)}}
        padding = {f"a{index}": "y" * 1000 for index in range(12)}
        data = a_body({"name": "a", "annotations": padding}, spec)
        seen = templates.sketch(data, PODS)
        assert seen is not None
        key = templates.key_of_create(PODS, 1, seen, facts())
        if known.find(key, cluster) is not None:
            return True
        known.meet(key, PODS, seen, understood(data), facts(objects=cluster))
        return False

    assert [create(0) for _ in range(4)] == [False, False, True, True]
    for number in range(1, 900):
        create(number)
        create(number)
    assert 15 << 20 < known.bytes <= 16 << 20
    assert create(899)
    assert not create(0)


def test_the_gaps_hold_what_is_the_objects_own() -> None:
    template = template_of(a_body({"name": "a"}, SPEC), facts())
    assert template is not None
    assert sorted(set(template.gaps)) == [0, 1, 2, 3]
    assert msgspec.json.decode(template.filled("other", facts()))["metadata"]["name"] == "other"
