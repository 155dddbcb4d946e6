"""Deployments, ReplicaSets, StatefulSets, ControllerRevisions: defaults, rules, immutability."""

from __future__ import annotations

import pytest

from orchestrator.api.strategies.apps import (
    CONTROLLERREVISIONS_STRATEGY,
    DEPLOYMENTS_STRATEGY,
    REPLICASETS_STRATEGY,
    STATEFULSETS_STRATEGY,
)
from tests.support.manifests import (
    a_container,
    a_meta,
    a_workload,
    changed,
    created,
    refusals,
    status_refusals,
    update_refusals,
    updated,
)

DEFAULTED_TEMPLATE = {
    "metadata": {"labels": {"app": "web"}},
    "spec": {
        "containers": [
            {
                "name": "main",
                "image": "nginx:1.16",
                "imagePullPolicy": "IfNotPresent",
                "resources": {},
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
            }
        ],
        "dnsPolicy": "ClusterFirst",
        "restartPolicy": "Always",
        "schedulerName": "default-scheduler",
        "securityContext": {},
        "terminationGracePeriodSeconds": 30,
    },
}
SELECTOR = {"matchLabels": {"app": "web"}}
STRATEGIES = {
    "Deployment": DEPLOYMENTS_STRATEGY,
    "ReplicaSet": REPLICASETS_STRATEGY,
    "StatefulSet": STATEFULSETS_STRATEGY,
}
each_kind = pytest.mark.parametrize("kind", sorted(STRATEGIES))


def test_defaults_of_a_deployment():
    assert created(DEPLOYMENTS_STRATEGY, a_workload("Deployment")) == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": a_meta("web"),
        "spec": {
            "replicas": 1,
            "selector": SELECTOR,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
            "revisionHistoryLimit": 10,
            "progressDeadlineSeconds": 600,
            "template": DEFAULTED_TEMPLATE,
        },
        "status": {},
    }


def test_defaults_of_a_replicaset():
    assert created(REPLICASETS_STRATEGY, a_workload("ReplicaSet")) == {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": a_meta("web"),
        "spec": {"replicas": 1, "selector": SELECTOR, "template": DEFAULTED_TEMPLATE},
        "status": {"replicas": 0},
    }


def test_defaults_of_a_statefulset():
    claim = {"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}
    assert created(STATEFULSETS_STRATEGY, a_workload("StatefulSet", volumeClaimTemplates=[claim])) == {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": a_meta("web"),
        "spec": {
            "replicas": 1,
            "selector": SELECTOR,
            "podManagementPolicy": "OrderedReady",
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
            "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
            "revisionHistoryLimit": 10,
            "template": DEFAULTED_TEMPLATE,
            "volumeClaimTemplates": [
                {
                    "apiVersion": "v1",
                    "kind": "PersistentVolumeClaim",
                    "metadata": {"name": "data"},
                    "spec": {"accessModes": ["ReadWriteOnce"], "volumeMode": "Filesystem"},
                    "status": {"phase": "Pending"},
                }
            ],
        },
        "status": {"replicas": 0, "availableReplicas": 0},
    }


@each_kind
def test_what_is_given_stays(kind):
    manifest = a_workload(kind, replicas=0, revisionHistoryLimit=0)
    spec = created(STRATEGIES[kind], manifest)["spec"]
    assert (spec["replicas"], spec["revisionHistoryLimit"]) == (0, 0)


def test_recreate_rolls_nothing():
    obj = created(DEPLOYMENTS_STRATEGY, a_workload("Deployment", strategy={"type": "Recreate"}))
    assert obj["spec"]["strategy"] == {"type": "Recreate"}


@each_kind
@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        pytest.param(
            "spec/replicas", -1, ["spec.replicas: Invalid value: -1: must be greater than or equal to 0"], id="replicas"
        ),
        pytest.param("spec/selector", None, ["spec.selector: Required value"], id="no-selector"),
        pytest.param(
            "spec/template/metadata/labels",
            {"app": "other"},
            [
                'spec.template.metadata.labels: Invalid value: {"app":"other"}: `selector` does not match template '
                "`labels`"
            ],
            id="labels-not-selected",
        ),
        pytest.param(
            "spec/template/spec/restartPolicy",
            "Never",
            ['spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"'],
            id="restart-policy",
        ),
        pytest.param(
            "spec/template/spec/containers/0/image",
            "",
            ["spec.template.spec.containers[0].image: Required value"],
            id="no-image",
        ),
        pytest.param(
            "spec/template/spec/ephemeralContainers",
            [a_container("debug")],
            ["spec.template.spec.ephemeralContainers: Forbidden: ephemeral containers not allowed in pod template"],
            id="debugging",
        ),
    ],
)
def test_rules_all_three_share(kind, path, value, expected):
    found = refusals(STRATEGIES[kind], changed(a_workload(kind), path, value))
    if value is None:
        # Without a selector, nothing is selected, so the labels do not match either.
        expected = [
            *expected,
            'spec.template.metadata.labels: Invalid value: {"app":"web"}: `selector` does not match template `labels`',
        ]
    assert found == expected


@each_kind
@pytest.mark.parametrize("template", [None, {}, {"metadata": {"labels": {"app": "web"}}}])
def test_an_empty_template_has_no_containers(kind, template):
    manifest = a_workload(kind, template=template)
    if template is None:
        del manifest["spec"]["template"]
    assert "spec.template.spec.containers: Required value" in refusals(STRATEGIES[kind], manifest)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("Deployment", "empty selector is invalid for deployment"),
        ("ReplicaSet", "empty selector is invalid for deployment"),
        ("StatefulSet", "empty selector is invalid for statefulset"),
    ],
)
def test_a_selector_selects_something(kind, words):
    found = refusals(STRATEGIES[kind], a_workload(kind, selector={}))
    assert found == [f"spec.selector: Invalid value: {{}}: {words}"]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param({"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}}, [], id="good"),
        pytest.param(
            {"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "0%"}}},
            ['spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "0%": may not be 0 when `maxSurge` is 0'],
            id="cannot-move",
        ),
        pytest.param(
            {"strategy": {"rollingUpdate": {"maxUnavailable": "101%"}}},
            ['spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "101%": must not be greater than 100%'],
            id="more-than-all",
        ),
        pytest.param(
            {"strategy": {"rollingUpdate": {"maxSurge": "many"}}},
            [
                'spec.strategy.rollingUpdate.maxSurge: Invalid value: "many": a valid percent string must be a '
                "numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is "
                "'[0-9]+%')"
            ],
            id="no-number",
        ),
        pytest.param(
            {"strategy": {"type": "Recreate", "rollingUpdate": {}}},
            ["spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'"],
            id="recreate-does-not-roll",
        ),
        pytest.param(
            {"strategy": {"type": "BlueGreen"}},
            ['spec.strategy: Unsupported value: {"type":"BlueGreen"}: supported values: "Recreate", "RollingUpdate"'],
            id="unknown-type",
        ),
        pytest.param(
            {"minReadySeconds": 600},
            ["spec.progressDeadlineSeconds: Invalid value: 600: must be greater than minReadySeconds"],
            id="deadline",
        ),
        pytest.param(
            {"revisionHistoryLimit": -1},
            ["spec.revisionHistoryLimit: Invalid value: -1: must be greater than or equal to 0"],
            id="history",
        ),
    ],
)
def test_rules_of_deployments(spec, expected):
    assert refusals(DEPLOYMENTS_STRATEGY, a_workload("Deployment", **spec)) == expected


CLAIM = {
    "metadata": {"name": "data"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param({"volumeClaimTemplates": [CLAIM]}, [], id="good"),
        pytest.param(
            {"podManagementPolicy": "Random"},
            ["spec.podManagementPolicy: Invalid value: \"Random\": must be 'OrderedReady' or 'Parallel'"],
            id="policy",
        ),
        pytest.param(
            {"updateStrategy": {"type": "Recreate"}},
            ["spec.updateStrategy: Invalid value: {\"type\":\"Recreate\"}: must be 'RollingUpdate' or 'OnDelete'"],
            id="update-strategy",
        ),
        pytest.param(
            {"updateStrategy": {"type": "OnDelete", "rollingUpdate": {"partition": 1}}},
            [
                'spec.updateStrategy.rollingUpdate: Invalid value: {"partition":1}: only allowed for updateStrategy '
                "'RollingUpdate'"
            ],
            id="on-delete-does-not-roll",
        ),
        pytest.param(
            {"updateStrategy": {"rollingUpdate": {"partition": -1}}},
            ["spec.updateStrategy.rollingUpdate.partition: Invalid value: -1: must be greater than or equal to 0"],
            id="partition",
        ),
        pytest.param(
            {"persistentVolumeClaimRetentionPolicy": {"whenScaled": "Keep"}},
            [
                'spec.persistentVolumeClaimRetentionPolicy.whenScaled: Unsupported value: "Keep": supported values: '
                '"Retain", "Delete"'
            ],
            id="retention",
        ),
        pytest.param(
            {"serviceName": "a.b"},
            ['spec.serviceName: Invalid value: "a.b": must not contain dots'],
            id="service-name",
        ),
        pytest.param(
            {"volumeClaimTemplates": [changed(CLAIM, "spec/accessModes", [])]},
            ["spec.volumeClaimTemplates[0].spec.accessModes: Required value: at least 1 access mode is required"],
            id="claim",
        ),
    ],
)
def test_rules_of_statefulsets(spec, expected):
    assert refusals(STATEFULSETS_STRATEGY, a_workload("StatefulSet", **spec)) == expected


def test_containers_may_mount_what_claims_will_bring():
    manifest = a_workload("StatefulSet", volumeClaimTemplates=[CLAIM])
    mounted = changed(
        manifest, "spec/template/spec/containers/0/volumeMounts", [{"name": "data", "mountPath": "/data"}]
    )
    assert refusals(STATEFULSETS_STRATEGY, mounted) == []


def test_a_statefulset_names_its_pods_hosts():
    manifest = changed(a_workload("StatefulSet"), "metadata/name", "a.b")
    assert refusals(STATEFULSETS_STRATEGY, manifest) == ['metadata.name: Invalid value: "a.b": must not contain dots']


@pytest.mark.parametrize("kind", ["Deployment", "ReplicaSet"])
def test_selectors_are_for_life(kind):
    stored = created(STRATEGIES[kind], a_workload(kind))
    other = changed(
        changed(stored, "spec/selector/matchLabels/tier", "front"), "spec/template/metadata/labels/tier", "front"
    )
    assert update_refusals(STRATEGIES[kind], other, stored) == [
        'spec.selector: Invalid value: {"matchLabels":{"app":"web","tier":"front"}}: field is immutable'
    ]


@pytest.mark.parametrize(
    ("path", "value", "refused"),
    [
        ("spec/replicas", 3, False),
        ("spec/template/spec/containers/0/image", "nginx:1.17", False),
        ("spec/updateStrategy/rollingUpdate/partition", 2, False),
        ("spec/minReadySeconds", 2, False),
        ("spec/revisionHistoryLimit", 2, False),
        ("spec/persistentVolumeClaimRetentionPolicy/whenScaled", "Delete", False),
        ("spec/serviceName", "other", True),
        ("spec/podManagementPolicy", "Parallel", True),
        ("spec/volumeClaimTemplates", [CLAIM], True),
    ],
)
def test_what_may_change_in_a_statefulset(path, value, refused):
    stored = created(STATEFULSETS_STRATEGY, a_workload("StatefulSet", serviceName="web"))
    words = (
        "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "
        "'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are "
        "forbidden"
    )
    found = update_refusals(STATEFULSETS_STRATEGY, changed(stored, path, value), stored)
    assert found == ([words] if refused else [])


@each_kind
def test_an_update_keeps_the_status(kind):
    stored = changed(created(STRATEGIES[kind], a_workload(kind)), "status", {"replicas": 3})
    assert updated(STRATEGIES[kind], changed(stored, "status", {"replicas": 9}), stored)["status"] == {"replicas": 3}


@each_kind
def test_a_status_update_keeps_the_spec_and_the_labels(kind):
    stored = created(STRATEGIES[kind], a_workload(kind))
    new = changed(changed(stored, "spec/replicas", 9), "metadata/labels", {"new": "label"})
    STRATEGIES[kind].prepare_status_update(new, stored)
    assert new == stored


@each_kind
def test_counts_of_the_status(kind):
    stored = created(STRATEGIES[kind], a_workload(kind))
    suffix = "status.readyReplicas" if kind == "StatefulSet" else "readyReplicas"
    new = {**stored, "status": {"replicas": 1, "readyReplicas": 2, "availableReplicas": 3}}
    assert status_refusals(STRATEGIES[kind], new, stored) == [
        "status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas",
        "status.availableReplicas: Invalid value: 3: cannot be greater than status.replicas",
        f"status.availableReplicas: Invalid value: 3: cannot be greater than {suffix}",
    ]


def test_unavailable_replicas_may_outnumber_the_replicas():
    stored = created(DEPLOYMENTS_STRATEGY, a_workload("Deployment"))
    new = {**stored, "status": {"unavailableReplicas": 3, "conditions": []}}
    assert status_refusals(DEPLOYMENTS_STRATEGY, new, stored) == []


def test_collisions_are_only_added():
    stored = changed(created(DEPLOYMENTS_STRATEGY, a_workload("Deployment")), "status/collisionCount", 2)
    new = changed(stored, "status/collisionCount", 1)
    assert status_refusals(DEPLOYMENTS_STRATEGY, new, stored) == [
        "status.collisionCount: Invalid value: 1: cannot be decremented"
    ]


@pytest.mark.parametrize(
    ("kind", "strategy"), [("Deployment", DEPLOYMENTS_STRATEGY), ("StatefulSet", STATEFULSETS_STRATEGY)]
)
def test_templates_are_warned_about_when_they_change(kind, strategy):
    manifest = changed(a_workload(kind), "spec/template/spec/terminationGracePeriodSeconds", -1)
    obj = created(strategy, manifest)
    words = (
        "spec.template.spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be "
        "treated as 1"
    )
    assert strategy.warnings(obj, None) == [words]
    assert strategy.warnings(changed(obj, "spec/replicas", 2), obj) == []
    relabelled = changed(obj, "spec/template/metadata/labels", {"app": "web", "v": "2"})
    assert strategy.warnings(relabelled, obj) == [words], "of another template it is said again"


def test_replicas_can_be_selected():
    obj = changed(created(REPLICASETS_STRATEGY, a_workload("ReplicaSet")), "status/replicas", 4)
    assert REPLICASETS_STRATEGY.selectable_fields(obj) == {"status.replicas": "4"}


def test_revisions_never_change():
    revision = {"metadata": a_meta("web-1"), "data": {"spec": 1}, "revision": 1}
    assert refusals(CONTROLLERREVISIONS_STRATEGY, revision) == []
    assert refusals(CONTROLLERREVISIONS_STRATEGY, {"metadata": a_meta("web-1"), "revision": -1}) == [
        "data: Required value: data is mandatory",
        "revision: Invalid value: -1: must be greater than or equal to 0",
    ]
    assert update_refusals(CONTROLLERREVISIONS_STRATEGY, changed(revision, "revision", 2), revision) == []
    assert update_refusals(CONTROLLERREVISIONS_STRATEGY, changed(revision, "data/spec", 2), revision) == [
        'data: Invalid value: {"spec":2}: field is immutable'
    ]
