"""Tolerations, affinity, spread and security contexts: what a pod may ask for."""

from __future__ import annotations

import pytest

from orchestrator.api.strategies.pods import PODS_STRATEGY
from tests.support.manifests import a_container, a_pod, refusals

HARD = "requiredDuringSchedulingIgnoredDuringExecution"
SOFT = "preferredDuringSchedulingIgnoredDuringExecution"
KEY_EMPTY = [
    ': Invalid value: "": name part must be non-empty',
    ": Invalid value: \"\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end "
    "with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
]


@pytest.mark.parametrize(
    ("toleration", "expected"),
    [
        pytest.param({"operator": "Exists"}, [], id="everything"),
        pytest.param({"key": "a", "value": "b", "effect": "NoSchedule"}, [], id="equal-implied"),
        pytest.param(
            {"value": "b"},
            [
                '.operator: Invalid value: "": operator must be Exists when `key` is empty, which means "match all '
                'values and all keys"'
            ],
            id="no-key",
        ),
        pytest.param(
            {"key": "a", "operator": "Exists", "value": "b"},
            [
                '.operator: Invalid value: {"key":"a","operator":"Exists","value":"b"}: value must be empty when '
                "`operator` is 'Exists'"
            ],
            id="exists-with-value",
        ),
        pytest.param(
            {"key": "a", "operator": "Like"},
            ['.operator: Unsupported value: "Like": supported values: "Equal", "Exists"'],
            id="unknown-operator",
        ),
        pytest.param(
            {"key": "a", "effect": "NoSchedule", "tolerationSeconds": 1},
            [".effect: Invalid value: \"NoSchedule\": effect must be 'NoExecute' when `tolerationSeconds` is set"],
            id="seconds",
        ),
        pytest.param(
            {"key": "a", "effect": "Never"},
            ['.effect: Unsupported value: "Never": supported values: "NoSchedule", "PreferNoSchedule", "NoExecute"'],
            id="effect",
        ),
    ],
)
def test_tolerations(toleration, expected):
    assert refusals(PODS_STRATEGY, a_pod(tolerations=[toleration])) == [f"spec.tolerations[0]{e}" for e in expected]


@pytest.mark.parametrize(
    ("requirement", "expected"),
    [
        *(
            pytest.param({"operator": operator, "values": values}, [], id=f"{operator}-{len(values)}")
            for operator, values in (
                ("In", ["x"]), ("NotIn", ["x", "y"]), ("Exists", []), ("DoesNotExist", []),
                ("Gt", ["1"]), ("Lt", ["1"]),
            )
        ),
        *(
            pytest.param(
                {"operator": operator, "values": ["x"]},
                [".values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'"],
                id=f"{operator}-1",
            )
            for operator in ("Exists", "DoesNotExist")
        ),
        pytest.param(
            {"operator": "Lt", "values": ["1", "2"]},
            [".values: Required value: must be specified single value when `operator` is 'Lt' or 'Gt'"],
            id="Lt-2",
        ),
        pytest.param(
            {"operator": "Like", "values": ["1"]},
            ['.operator: Invalid value: "Like": not a valid selector operator'],
            id="unknown",
        ),
        pytest.param({"operator": "Exists", "key": ""}, [f".key{words}" for words in KEY_EMPTY], id="no-key"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", [HARD, SOFT])
def test_what_an_affinity_asks_of_a_nodes_labels(kind, requirement, expected):
    term = {"matchExpressions": [{"key": "a", **requirement}]}
    if kind == HARD:
        terms, at = {"nodeSelectorTerms": [term]}, f"{HARD}.nodeSelectorTerms[0]"
    else:
        terms, at = [{"weight": 1, "preference": term}], f"{SOFT}[0].preference"
    found = refusals(PODS_STRATEGY, a_pod(affinity={"nodeAffinity": {kind: terms}}))
    assert found == [f"spec.affinity.nodeAffinity.{at}.matchExpressions[0]{one}" for one in expected]


@pytest.mark.parametrize(
    ("requirement", "expected"),
    [
        pytest.param({"operator": "In", "values": ["n1"]}, [], id="one"),
        pytest.param({"operator": "NotIn", "values": ["n1"]}, [], id="all-but-one"),
        pytest.param(
            {"operator": "In", "values": ["n1", "n2"]},
            [
                ".values: Required value: must be only one value when `operator` is 'In' or 'NotIn' for node field "
                "selector"
            ],
            id="two",
        ),
        pytest.param(
            {"operator": "Exists", "values": []},
            ['.operator: Invalid value: "Exists": not a valid selector operator'],
            id="any",
        ),
    ],
)
def test_what_an_affinity_asks_of_a_nodes_name(requirement, expected):
    term = {"matchFields": [{"key": "metadata.name", **requirement}]}
    found = refusals(PODS_STRATEGY, a_pod(affinity={"nodeAffinity": {HARD: {"nodeSelectorTerms": [term]}}}))
    assert found == [f"spec.affinity.nodeAffinity.{HARD}.nodeSelectorTerms[0].matchFields[0]{one}" for one in expected]


@pytest.mark.parametrize(
    ("affinity", "expected"),
    [
        pytest.param(
            {"nodeAffinity": {HARD: {"nodeSelectorTerms": []}}},
            [f"nodeAffinity.{HARD}.nodeSelectorTerms: Required value: must have at least one node selector term"],
            id="no-terms",
        ),
        pytest.param(
            {"nodeAffinity": {HARD: {"nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "In"}]}]}}},
            [
                f"nodeAffinity.{HARD}.nodeSelectorTerms[0].matchExpressions[0].values: Required value: must be "
                "specified when `operator` is 'In' or 'NotIn'"
            ],
            id="in-nothing",
        ),
        pytest.param(
            {"nodeAffinity": {HARD: {"nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "Gt"}]}]}}},
            [
                f"nodeAffinity.{HARD}.nodeSelectorTerms[0].matchExpressions[0].values: Required value: must be "
                "specified single value when `operator` is 'Lt' or 'Gt'"
            ],
            id="greater-than-nothing",
        ),
        pytest.param(
            {
                "nodeAffinity": {
                    HARD: {
                        "nodeSelectorTerms": [{"matchFields": [{"key": "spec.x", "operator": "In", "values": ["a"]}]}]
                    }
                }
            },
            [
                f'nodeAffinity.{HARD}.nodeSelectorTerms[0].matchFields[0].key: Invalid value: "spec.x": not a valid '
                "field selector key"
            ],
            id="unknown-field",
        ),
        pytest.param(
            {"nodeAffinity": {SOFT: [{"weight": 0, "preference": {}}]}},
            [f"nodeAffinity.{SOFT}[0].weight: Invalid value: 0: must be in the range 1-100"],
            id="weight",
        ),
        pytest.param(
            {
                "nodeAffinity": {
                    SOFT: [{"weight": 100, "preference": {"matchFields": [{"key": "x", "operator": "In"}]}}]
                }
            },
            [
                f"nodeAffinity.{SOFT}[0].preference.matchFields[0].values: Required value: must be only one value when "
                "`operator` is 'In' or 'NotIn' for node field selector",
                f'nodeAffinity.{SOFT}[0].preference.matchFields[0].key: Invalid value: "x": not a valid field selector '
                "key",
            ],
            id="what-is-only-preferred-has-rules-too",
        ),
        pytest.param(
            {"podAntiAffinity": {HARD: [{"labelSelector": {}, "topologyKey": "zone"}]}}, [], id="good-anti-affinity"
        ),
        pytest.param(
            {"podAffinity": {HARD: [{"labelSelector": {}}]}},
            [
                f"podAffinity.{HARD}[0].topologyKey: Required value: can not be empty",
                *(f"podAffinity.{HARD}[0].topologyKey{words}" for words in KEY_EMPTY),
            ],
            id="no-topology-key",
        ),
        pytest.param(
            {"podAffinity": {SOFT: [{"weight": 1, "podAffinityTerm": {"topologyKey": "z", "matchLabelKeys": ["a"]}}]}},
            [
                f"podAffinity.{SOFT}[0].podAffinityTerm.matchLabelKeys: Forbidden: must not be specified when "
                "labelSelector is not set"
            ],
            id="match-keys-without-selector",
        ),
    ],
)
def test_affinity(affinity, expected):
    assert refusals(PODS_STRATEGY, a_pod(affinity=affinity)) == [f"spec.affinity.{e}" for e in expected]


GOOD_SPREAD = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {}}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param({}, [], id="good"),
        pytest.param({"maxSkew": 0}, [".maxSkew: Invalid value: 0: must be greater than zero"], id="skew"),
        pytest.param({"topologyKey": ""}, [".topologyKey: Required value: can not be empty"], id="key"),
        pytest.param(
            {"whenUnsatisfiable": "Cry"},
            ['.whenUnsatisfiable: Unsupported value: "Cry": supported values: "DoNotSchedule", "ScheduleAnyway"'],
            id="action",
        ),
        pytest.param(
            {"whenUnsatisfiable": "ScheduleAnyway", "minDomains": 2},
            [
                ".minDomains: Invalid value: 2: can only use minDomains if whenUnsatisfiable=DoNotSchedule, not "
                "ScheduleAnyway"
            ],
            id="domains",
        ),
        pytest.param({"minDomains": 1}, [], id="one-domain"),
        pytest.param({"minDomains": 0}, [".minDomains: Invalid value: 0: must be greater than zero"], id="no-domain"),
        pytest.param({"nodeAffinityPolicy": "Ignore", "nodeTaintsPolicy": "Honor"}, [], id="policies"),
        pytest.param(
            {"nodeAffinityPolicy": "Maybe"},
            ['.nodeAffinityPolicy: Unsupported value: "Maybe": supported values: "Honor", "Ignore"'],
            id="affinity-policy",
        ),
        pytest.param({"matchLabelKeys": ["app"]}, [], id="key-of-the-pod"),
        pytest.param(
            {"matchLabelKeys": ["app"], "labelSelector": None},
            [".matchLabelKeys: Forbidden: must not be specified when labelSelector is not set"],
            id="keys-without-selector",
        ),
        pytest.param(
            {
                "matchLabelKeys": ["app"],
                "labelSelector": {"matchExpressions": [{"key": "app", "operator": "Exists"}]},
            },
            ['.matchLabelKeys[0]: Invalid value: "app": exists in both matchLabelKeys and labelSelector'],
            id="key-in-an-expression",
        ),
        pytest.param(
            {"nodeTaintsPolicy": "Maybe"},
            ['.nodeTaintsPolicy: Unsupported value: "Maybe": supported values: "Honor", "Ignore"'],
            id="policy",
        ),
        pytest.param(
            {"matchLabelKeys": ["app"], "labelSelector": {"matchLabels": {"app": "x"}}},
            ['.matchLabelKeys[0]: Invalid value: "app": exists in both matchLabelKeys and labelSelector'],
            id="key-twice",
        ),
    ],
)
def test_spread(change, expected):
    found = refusals(PODS_STRATEGY, a_pod(topologySpreadConstraints=[{**GOOD_SPREAD, **change}]))
    assert found == [f"spec.topologySpreadConstraints[0]{e}" for e in expected]


def test_a_constraint_is_given_once():
    found = refusals(PODS_STRATEGY, a_pod(topologySpreadConstraints=[GOOD_SPREAD, GOOD_SPREAD]))
    assert found == [
        'spec.topologySpreadConstraints[0].{topologyKey, whenUnsatisfiable}: Duplicate value: "{zone, DoNotSchedule}"'
    ]


def test_node_selectors_are_labels():
    (only,) = refusals(PODS_STRATEGY, a_pod(nodeSelector={"disk": "a b"}))
    assert only.startswith('spec.nodeSelector: Invalid value: "a b": a valid label must be')


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        pytest.param(
            {"runAsUser": -1}, [".runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive"], id="user"
        ),
        pytest.param(
            {"supplementalGroups": [1, -1]},
            [".supplementalGroups[1]: Invalid value: -1: must be between 0 and 2147483647, inclusive"],
            id="groups",
        ),
        pytest.param(
            {"fsGroupChangePolicy": "Never"},
            ['.fsGroupChangePolicy: Unsupported value: "Never": supported values: "Always", "OnRootMismatch"'],
            id="change-policy",
        ),
        pytest.param(
            {"seccompProfile": {"type": "Localhost"}},
            [".seccompProfile.localhostProfile: Required value: must be set when seccomp type is Localhost"],
            id="seccomp",
        ),
        pytest.param(
            {"sysctls": [{"name": "net.ipv4.ip_forward", "value": "1"}, {"name": "A", "value": "1"}]},
            [
                '.sysctls[1].name: Invalid value: "A": must have at most 253 characters and match regex '
                r"^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"
            ],
            id="sysctl",
        ),
    ],
)
def test_security_of_the_pod(context, expected):
    found = refusals(PODS_STRATEGY, a_pod(securityContext=context))
    assert found == [f"spec.securityContext{e}" for e in expected]


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        pytest.param({"privileged": True}, [], id="privileged"),
        pytest.param(
            {"procMount": "Unmasked"},
            ['.procMount: Invalid value: "Unmasked": `hostUsers` must be false to use `Unmasked`'],
            id="unmasked",
        ),
        pytest.param(
            {"privileged": True, "allowPrivilegeEscalation": False},
            [
                ': Invalid value: {"privileged":true,"allowPrivilegeEscalation":false}: cannot set '
                "`allowPrivilegeEscalation` to false and `privileged` to true"
            ],
            id="contradiction",
        ),
        pytest.param(
            {"appArmorProfile": {"type": "Mine"}},
            [
                '.appArmorProfile.type: Unsupported value: "Mine": supported values: "Localhost", "RuntimeDefault", '
                '"Unconfined"'
            ],
            id="app-armor",
        ),
    ],
)
def test_security_of_a_container(context, expected):
    found = refusals(PODS_STRATEGY, a_pod(containers=[a_container(securityContext=context)]))
    assert found == [f"spec.containers[0].securityContext{e}" for e in expected]


def test_host_namespaces_that_exclude_each_other():
    assert refusals(PODS_STRATEGY, a_pod(hostPID=True, shareProcessNamespace=True)) == [
        "spec.shareProcessNamespace: Invalid value: true: ShareProcessNamespace and HostPID cannot both be enabled"
    ]
    assert refusals(PODS_STRATEGY, a_pod(hostUsers=False, hostNetwork=True)) == [
        "spec.hostNetwork: Forbidden: when `pod.Spec.HostUsers` is false"
    ]
