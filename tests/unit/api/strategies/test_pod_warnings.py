"""What a client is told though its pod is accepted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.api.problems import duplicate
from orchestrator.api.strategies.metadata import _owners as validate_metadata_owners
from orchestrator.api.strategies.pods import PODS_STRATEGY
from orchestrator.api.strategies.scheduling import validate_spread
from tests.support.manifests import a_container, a_pod, a_typical_pod, created

HARD = "requiredDuringSchedulingIgnoredDuringExecution"
SOFT = "preferredDuringSchedulingIgnoredDuringExecution"
NULL_SELECTOR = "a null labelSelector results in matching no pod"
OLD_LABEL = {"key": "beta.kubernetes.io/arch", "operator": "Exists"}
OLD_ZONE = {"topologyKey": "failure-domain.beta.kubernetes.io/zone"}


def warnings(**spec):
    return list(PODS_STRATEGY.warnings(created(PODS_STRATEGY, a_pod(**spec)), None))


def test_good_pods_give_no_warnings():
    assert PODS_STRATEGY.warnings(created(PODS_STRATEGY, a_typical_pod()), None) == []


@pytest.mark.parametrize(
    ("container", "expected"),
    [
        pytest.param(
            {"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]},
            ['spec.containers[0].env[1]: hides previous definition of "A", which may be dropped when using apply'],
            id="env-twice",
        ),
        pytest.param(
            {"env": [{"name": "PATH", "value": "/bin"}, {"name": "PATH", "value": "$(PATH):/opt"}]}, [], id="env-grown"
        ),
        pytest.param(
            {"resources": {"limits": {"memory": "100m"}}},
            [
                'spec.containers[0].resources.limits[memory]: fractional byte value "100m" is invalid, must be an '
                "integer",
                'spec.containers[0].resources.requests[memory]: fractional byte value "100m" is invalid, must be an '
                "integer",
            ],
            id="a-tenth-of-a-byte",
        ),
        pytest.param({"resources": {"limits": {"memory": "16Ei"}}}, [], id="more-bytes-than-64-bits-hold"),
        pytest.param(
            {"ports": [{"containerPort": 80}, {"containerPort": 80}]},
            ["spec.containers[0].ports[1]: duplicate port definition with spec.containers[0].ports[0]"],
            id="port-twice",
        ),
        pytest.param(
            {"ports": [{"containerPort": 80, "hostPort": 8080}, {"containerPort": 80}]},
            ["spec.containers[0].ports[1]: overlapping port definition with spec.containers[0].ports[0]"],
            id="port-overlaps",
        ),
    ],
)
def test_containers(container, expected):
    assert warnings(containers=[a_container(**container)]) == expected


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param(
            {"nodeSelector": {"beta.kubernetes.io/os": "linux"}},
            ['spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead'],
            id="deprecated-label",
        ),
        pytest.param(
            {"imagePullSecrets": [{"name": "a"}, {"name": "a"}]},
            ['spec.imagePullSecrets[1].name: duplicate name "a"'],
            id="pull-secret-twice",
        ),
        pytest.param(
            {"terminationGracePeriodSeconds": -1},
            ["spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1"],
            id="negative-grace",
        ),
        pytest.param({"terminationGracePeriodSeconds": 0}, [], id="no-grace"),
        pytest.param(
            {"imagePullSecrets": [{"name": "a"}, {}]},
            ['spec.imagePullSecrets[1].name: invalid empty name ""'],
            id="nameless-pull-secret",
        ),
        *(
            pytest.param(
                {"affinity": {kind: {HARD: [{"topologyKey": "z"}, {"topologyKey": "z", "labelSelector": {}}]}}},
                [f"spec.affinity.{kind}.{HARD}[0].labelSelector: {NULL_SELECTOR}"],
                id=f"{kind}-to-nobody",
            )
            for kind in ("podAffinity", "podAntiAffinity")
        ),
        pytest.param(
            {
                "affinity": {
                    "podAffinity": {
                        SOFT: [
                            {"weight": 1, "podAffinityTerm": {"topologyKey": "z", "labelSelector": {}}},
                            {"weight": 1, "podAffinityTerm": {"topologyKey": "z"}},
                        ]
                    }
                }
            },
            [f"spec.affinity.podAffinity.{SOFT}[1].podAffinityTerm.labelSelector: {NULL_SELECTOR}"],
            id="near-nobody-if-possible",
        ),
        pytest.param(
            {"affinity": {"nodeAffinity": {HARD: {"nodeSelectorTerms": [{"matchExpressions": [OLD_LABEL]}]}}}},
            [
                f"spec.affinity.nodeAffinity.{HARD}.nodeSelectorTerms[0].matchExpressions[0].key: "
                'beta.kubernetes.io/arch is deprecated since v1.14; use "kubernetes.io/arch" instead'
            ],
            id="deprecated-label-of-an-affinity",
        ),
        pytest.param(
            {"affinity": {"nodeAffinity": {SOFT: [{"weight": 1, "preference": {"matchExpressions": [OLD_LABEL]}}]}}},
            [
                f"spec.affinity.nodeAffinity.{SOFT}[0].preference.matchExpressions[0].key: "
                'beta.kubernetes.io/arch is deprecated since v1.14; use "kubernetes.io/arch" instead'
            ],
            id="deprecated-label-of-a-preference",
        ),
        pytest.param(
            {"topologySpreadConstraints": [{"maxSkew": 1, "whenUnsatisfiable": "ScheduleAnyway", **OLD_ZONE}]},
            [
                "spec.topologySpreadConstraints[0].topologyKey: failure-domain.beta.kubernetes.io/zone is deprecated "
                'since v1.17; use "topology.kubernetes.io/zone" instead',
                f"spec.topologySpreadConstraints[0].labelSelector: {NULL_SELECTOR}",
            ],
            id="spread-of-nobody",
        ),
    ],
)
def test_spec(spec, expected):
    # What is accepted and not implemented is told as well; that table has its own tests.
    assert [warning for warning in warnings(**spec) if "not implemented" not in warning] == expected


def test_a_dotted_name_surprises_as_host_name():
    (only,) = PODS_STRATEGY.warnings(created(PODS_STRATEGY, a_pod("a.b")), None)
    assert only == (
        "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is "
        "recommended: [must not contain dots]"
    )


def test_updates_are_not_warned_about():
    pod = created(PODS_STRATEGY, a_pod(terminationGracePeriodSeconds=-1))
    assert PODS_STRATEGY.warnings(pod, pod) == ()


def clash(port, other):
    """What Kubernetes says of two ports of one number and protocol."""
    if (port["hostPort"], port["hostIP"]) == (other["hostPort"], other["hostIP"]):
        return "duplicate port definition"
    if not port["hostPort"] or not other["hostPort"]:
        return "overlapping port definition"
    if port["hostPort"] == other["hostPort"] and bool(port["hostIP"]) != bool(other["hostIP"]):
        return "dangerously ambiguous port definition"
    return None


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "containerPort": st.sampled_from([80, 81]),
                "protocol": st.sampled_from(["TCP", "UDP"]),
                "hostPort": st.sampled_from([0, 0, 1, 2]),
                "hostIP": st.sampled_from(["", "10.0.0.1", "10.0.0.2"]),
            }
        ),
        max_size=9,
    )
)
def test_each_pair_of_ports_that_clash_is_told_once(ports):
    at = "spec.containers[0].ports"
    expected = [
        f"{at}[{i}]: {why} with {at}[{j}]"
        for i, port in enumerate(ports)
        for j, other in enumerate(ports[:i])
        if (port["containerPort"], port["protocol"]) == (other["containerPort"], other["protocol"])
        and (why := clash(port, other))
    ]
    pod = a_pod(containers=[a_container(ports=ports)])
    told = [warning for warning in PODS_STRATEGY.warnings(pod, None) if "port definition" in warning]
    assert told == expected


def test_very_many_ports_are_compared_in_time_that_their_number_allows():
    # Comparing each with all others would take hours.
    ports = [{"containerPort": 80, "protocol": "TCP", "hostPort": n % 60_000 + 1} for n in range(60_000)]
    assert PODS_STRATEGY.warnings(a_pod(containers=[a_container(ports=ports)]), None) == []
    same = [{"containerPort": 80, "protocol": "TCP"}] * 60_000
    assert len(PODS_STRATEGY.warnings(a_pod(containers=[a_container(ports=same)]), None)) == 100


def test_very_many_spread_constraints_are_compared_in_time_that_their_number_allows():
    constraints = [{"topologyKey": f"k{n}", "whenUnsatisfiable": "ScheduleAnyway", "maxSkew": 1} for n in range(60_000)]
    assert validate_spread([*constraints, constraints[0]], "c") == [
        duplicate("c[0].{topologyKey, whenUnsatisfiable}", "{k0, ScheduleAnyway}")
    ]


def test_very_many_controllers_are_refused_in_time_that_their_number_allows():
    owners = [
        {"apiVersion": "v1", "kind": "Pod", "name": f"n{n}", "uid": "u", "controller": True} for n in range(20_000)
    ]
    problems = validate_metadata_owners(owners)
    assert len(problems) == 19_999
    assert max(len(problem.message) for problem in problems) < 2_000
