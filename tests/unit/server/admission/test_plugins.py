"""What admission fills in, and what it refuses, in Kubernetes' words."""

from __future__ import annotations

import base64
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.api.codec import copied
from orchestrator.api.objects import Object
from orchestrator.api.resources import (
    CERTIFICATESIGNINGREQUESTS,
    CONFIGMAPS,
    LEASES,
    NAMESPACES,
    NODES,
    PODS,
    SERVICEACCOUNTS,
)
from orchestrator.machinery import certificates
from orchestrator.machinery.certificates import Subject
from orchestrator.machinery.errors import ApiError, Forbidden, NotFound
from orchestrator.server.admission.chain import build_admission
from tests.support import security
from tests.support.api import json_values, unhurried
from tests.support.security import (
    FakeObjects,
    a_namespace,
    a_node,
    a_node_user,
    a_pod,
    a_service_account,
)

NODE = a_node_user("n1")
TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"


def with_tokens(*audiences: str) -> Object:
    """A volume with a token for each audience."""
    sources = [{"serviceAccountToken": {"audience": one, "path": "t"} if one else {"path": "t"}} for one in audiences]
    return {"name": "v", "projected": {"sources": sources}}


def a_cluster() -> FakeObjects:
    return FakeObjects(
        a_namespace(),
        a_namespace("going", phase="Terminating"),
        a_service_account(),
        a_service_account("quiet", automountServiceAccountToken=False),
        a_service_account("puller", imagePullSecrets=[{"name": "registry"}]),
        a_node("n1"),
        a_pod("ours", node="n1", volumes=[with_tokens("", "vault")]),
        a_pod("theirs", node="n2"),
    )


CHAIN = build_admission()
an_admission = partial(security.an_admission, objects=a_cluster())


def a_new_pod(namespace: str = "default", **spec: Any) -> Object:
    body = {"containers": [{"name": "main", "image": "nginx"}], **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": namespace}, "spec": body}


def admitted(pod: Object) -> Object:
    request = an_admission(PODS, obj=pod)
    CHAIN.mutate(request)
    CHAIN.validate(request)
    assert request.obj is not None
    return request.obj


class TestNamespaces:
    def test_nothing_is_created_in_a_namespace_that_is_not_there(self) -> None:
        with pytest.raises(NotFound, match='namespaces "nowhere" not found'):
            CHAIN.mutate(an_admission(CONFIGMAPS, obj={"metadata": {"name": "c", "namespace": "nowhere"}}))

    def test_nothing_is_created_in_a_namespace_that_is_going(self) -> None:
        with pytest.raises(Forbidden) as refused:
            CHAIN.mutate(an_admission(CONFIGMAPS, obj={"metadata": {"name": "c", "namespace": "going"}}))
        assert refused.value.message == (
            'configmaps "c" is forbidden: unable to create new content in namespace going '
            "because it is being terminated"
        )
        assert refused.value.details["causes"][0]["reason"] == "NamespaceTerminating"

    def test_what_is_there_can_still_be_changed_and_deleted(self) -> None:
        obj = {"metadata": {"name": "c", "namespace": "going"}}
        CHAIN.mutate(an_admission(CONFIGMAPS, "UPDATE", obj=obj, old=obj))
        CHAIN.validate(an_admission(CONFIGMAPS, "DELETE", old={"metadata": {"name": "c", "namespace": "nowhere"}}))

    @pytest.mark.parametrize("name", ["default", "kube-system", "kube-public", "kube-node-lease"])
    def test_the_clusters_own_namespaces_stay(self, name: str) -> None:
        with pytest.raises(Forbidden, match="this namespace may not be deleted"):
            CHAIN.validate(an_admission(NAMESPACES, "DELETE", old={"metadata": {"name": name}}))

    def test_other_namespaces_come_and_go(self) -> None:
        CHAIN.mutate(an_admission(NAMESPACES, obj={"metadata": {"name": "new"}}))
        CHAIN.validate(an_admission(NAMESPACES, "DELETE", old={"metadata": {"name": "new"}}))


class TestServiceAccounts:
    def test_a_pod_runs_as_default_and_finds_a_token(self) -> None:
        pod = admitted(a_new_pod(initContainers=[{"name": "init"}]))
        spec = pod["spec"]
        assert spec["serviceAccountName"] == spec["serviceAccount"] == "default"
        (volume,) = spec["volumes"]
        assert volume["name"].startswith("kube-api-access-")
        sources = volume["projected"]["sources"]
        assert sources[0] == {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}}
        assert sources[1]["configMap"]["name"] == "kube-root-ca.crt"
        assert sources[2]["downwardAPI"]["items"][0]["path"] == "namespace"
        for container in spec["initContainers"] + spec["containers"]:
            assert container["volumeMounts"] == [{"name": volume["name"], "readOnly": True, "mountPath": TOKEN_PATH}]

    def test_what_a_container_mounts_there_itself_stays(self) -> None:
        mount = {"name": "mine", "mountPath": TOKEN_PATH}
        volumes = [{"name": "mine", "emptyDir": {}}]
        pod = admitted(a_new_pod(containers=[{"name": "m", "volumeMounts": [mount]}], volumes=volumes))
        assert pod["spec"]["containers"][0]["volumeMounts"] == [mount]
        assert pod["spec"]["volumes"] == volumes

    @pytest.mark.parametrize(
        ("spec", "expected"),
        [
            pytest.param({"automountServiceAccountToken": False}, False, id="the-pod-says-no"),
            pytest.param({"serviceAccountName": "quiet"}, False, id="the-account-says-no"),
            pytest.param(
                {"serviceAccountName": "quiet", "automountServiceAccountToken": True}, True, id="the-pod-wins"
            ),
        ],
    )
    def test_who_wants_no_token_gets_none(self, spec: Object, expected: bool) -> None:
        assert ("volumes" in admitted(a_new_pod(**spec))["spec"]) is expected

    def test_an_account_brings_its_pull_secrets(self) -> None:
        assert admitted(a_new_pod(serviceAccountName="puller"))["spec"]["imagePullSecrets"] == [{"name": "registry"}]
        own = [{"name": "own"}]
        pod = admitted(a_new_pod(serviceAccountName="puller", imagePullSecrets=own))
        assert pod["spec"]["imagePullSecrets"] == own

    def test_an_account_that_is_not_there_is_named(self) -> None:
        with pytest.raises(Forbidden) as refused:
            admitted(a_new_pod(serviceAccountName="gone"))
        assert refused.value.message == (
            'pods "web" is forbidden: error looking up service account default/gone: serviceaccount "gone" not found'
        )

    def test_a_pod_in_a_brand_new_namespace_is_admitted_before_its_account_is_there(self) -> None:
        request = an_admission(PODS, obj=a_new_pod("new"), objects=FakeObjects(a_namespace("new")))
        CHAIN.mutate(request)
        assert request.obj is not None
        assert request.obj["spec"]["serviceAccountName"] == "default"

    def test_admitting_twice_changes_nothing_more(self) -> None:
        once = admitted(a_new_pod())
        assert admitted(copied(once)) == once


class TestPods:
    def test_a_pod_stays_five_minutes_on_a_broken_node(self) -> None:
        assert admitted(a_new_pod())["spec"]["tolerations"] == [
            {
                "key": f"node.kubernetes.io/{what}",
                "operator": "Exists",
                "effect": "NoExecute",
                "tolerationSeconds": 300,
            }
            for what in ("not-ready", "unreachable")
        ]

    @pytest.mark.parametrize(
        ("toleration", "added"),
        [
            pytest.param({"operator": "Exists"}, 0, id="tolerates-everything"),
            pytest.param({"key": "node.kubernetes.io/not-ready", "tolerationSeconds": 5}, 1, id="one-of-both"),
            pytest.param({"operator": "Exists", "effect": "NoSchedule"}, 2, id="another-effect"),
        ],
    )
    def test_own_tolerations_win(self, toleration: Object, added: int) -> None:
        assert len(admitted(a_new_pod(tolerations=[toleration]))["spec"]["tolerations"]) == 1 + added

    @pytest.mark.parametrize(
        ("spec", "expected"),
        [
            ({}, 0),
            ({"priorityClassName": "system-node-critical"}, 2_000_001_000),
            ({"priorityClassName": "system-cluster-critical", "priority": 2_000_000_000}, 2_000_000_000),
        ],
    )
    def test_a_class_becomes_a_number(self, spec: Object, expected: int) -> None:
        pod = admitted(a_new_pod(**spec))
        assert pod["spec"]["priority"] == expected
        assert pod["spec"]["preemptionPolicy"] == "PreemptLowerPriority"

    def test_unknown_classes_and_made_up_numbers_are_refused(self) -> None:
        with pytest.raises(Forbidden, match="no PriorityClass with name gold was found"):
            admitted(a_new_pod(priorityClassName="gold"))
        with pytest.raises(Forbidden, match=r"the integer value of priority \(7\) must not be provided"):
            admitted(a_new_pod(priority=7))

    @unhurried
    @given(
        st.dictionaries(
            st.sampled_from(
                ["volumes", "containers", "initContainers", "tolerations", "serviceAccountName", "priorityClassName"]
            ),
            json_values | st.lists(st.dictionaries(st.just("volumeMounts"), json_values)),
        ),
        json_values,
    )
    def test_a_pod_of_any_shape_is_left_for_the_schema_to_refuse(self, spec: Object, metadata: Any) -> None:
        for pod in ({"metadata": {"name": "x", "namespace": "default"}, "spec": spec}, {"spec": metadata}):
            request = an_admission(PODS, obj=pod)
            request.namespace = "default"
            try:
                CHAIN.mutate(request)
            except ApiError as refused:
                assert refused.status_code < 500  # noqa: PT017 - refusing is as good as leaving it


class TestNodes:
    def test_a_new_node_is_tainted_until_it_is_ready(self) -> None:
        request = an_admission(NODES, obj={"metadata": {"name": "n1"}})
        CHAIN.mutate(request)
        assert request.obj is not None
        assert request.obj["spec"]["taints"] == [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]
        again = an_admission(NODES, obj=copied(request.obj))
        CHAIN.mutate(again)
        assert again.obj == request.obj


def a_csr(common_name: str, signer: str = "kubernetes.io/kubelet-serving") -> Object:
    pem = certificates.new_request(Subject(common_name=common_name), certificates.new_key())
    spec = {"signerName": signer, "request": base64.b64encode(pem).decode()}
    return {"metadata": {"name": "csr-1"}, "spec": spec}


def of_pod(name: str, node: str = "n1", **labels: str) -> Object:
    metadata = {"name": name, "namespace": "default", "labels": labels}
    return {"metadata": metadata, "spec": {"nodeName": node}}


def node_object(name: str = "n1", *, taints: Any = (), **labels: str) -> Object:
    return {"metadata": {"name": name, "labels": labels}, "spec": {"taints": list(taints)}}


def bound_token(pod: str, uid: str, *audiences: str) -> Object:
    reference = {"kind": "Pod", "apiVersion": "v1", "name": pod, "uid": uid}
    spec = {"boundObjectRef": reference, "audiences": list(audiences)}
    return {"metadata": {"name": "default", "namespace": "default"}, "spec": spec}


def test_nobody_asks_to_become_an_administrator() -> None:
    pem = certificates.new_request(
        Subject(common_name="jane", organizations=("system:masters",)), certificates.new_key()
    )
    spec = {"signerName": "kubernetes.io/kube-apiserver-client", "request": base64.b64encode(pem).decode()}
    with pytest.raises(Forbidden) as refused:
        CHAIN.validate(an_admission(CERTIFICATESIGNINGREQUESTS, obj={"metadata": {"name": "csr"}, "spec": spec}))
    assert refused.value.message == (
        'certificatesigningrequests.certificates.k8s.io "csr" is forbidden: '
        "use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed"
    )
    CHAIN.validate(an_admission(CERTIFICATESIGNINGREQUESTS, obj=a_csr("jane", "kubernetes.io/kube-apiserver-client")))


MIRROR = {"kubernetes.io/config.mirror": "x"}
ITS_NODE = {"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "uid-n1", "controller": True}


def a_mirror_pod(*owners: Object, **spec: Any) -> Object:
    meta = {"name": "m", "namespace": "default", "annotations": MIRROR, "ownerReferences": list(owners)}
    return {"metadata": meta, "spec": {"nodeName": "n1", "containers": [{"name": "m"}], **spec}}


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(
            an_admission(NODES, obj=node_object(**{"kubernetes.io/hostname": "n1"}), user=NODE), id="registers"
        ),
        pytest.param(
            an_admission(NODES, "UPDATE", obj=node_object(zone="b"), old=node_object(zone="a"), user=NODE),
            id="own-labels",
        ),
        pytest.param(
            an_admission(PODS, "UPDATE", obj=of_pod("ours"), old=of_pod("ours"), subresource="status", user=NODE),
            id="reports-its-pods-status",
        ),
        pytest.param(an_admission(PODS, "DELETE", old=of_pod("ours"), user=NODE), id="finishes-a-deletion"),
        pytest.param(
            an_admission(SERVICEACCOUNTS, obj=bound_token("ours", "uid-ours"), subresource="token", user=NODE),
            id="a-token-for-its-pod",
        ),
        pytest.param(
            an_admission(SERVICEACCOUNTS, obj=bound_token("ours", "uid-ours", "vault"), subresource="token", user=NODE),
            id="a-token-that-its-pod-mounts",
        ),
        pytest.param(
            an_admission(LEASES, obj={"metadata": {"name": "n1", "namespace": "kube-node-lease"}}, user=NODE),
            id="its-lease",
        ),
        pytest.param(
            an_admission(CERTIFICATESIGNINGREQUESTS, obj=a_csr("system:node:n1"), user=NODE), id="its-certificate"
        ),
        pytest.param(
            an_admission(PODS, obj=a_mirror_pod(ITS_NODE), user=NODE),
            id="its-mirror-pod",
        ),
    ],
)
def test_a_node_may(request_: Any) -> None:
    CHAIN.validate(request_)


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        pytest.param(an_admission(NODES, obj=node_object("n2"), user=NODE), "modify node", id="another-node"),
        pytest.param(
            an_admission(NODES, "UPDATE", obj=node_object(taints=[{"key": "a"}]), old=node_object(), user=NODE),
            "modify taints",
            id="its-taints",
        ),
        pytest.param(
            an_admission(NODES, obj=node_object(**{"node-restriction.kubernetes.io/team": "a"}), user=NODE),
            "set labels: node-restriction.kubernetes.io/team",
            id="a-restricted-label",
        ),
        pytest.param(
            an_admission(
                NODES,
                "UPDATE",
                obj=node_object(**{"node-role.kubernetes.io/control-plane": ""}),
                old=node_object(),
                user=NODE,
            ),
            "modify labels",
            id="a-role",
        ),
        pytest.param(
            an_admission(
                PODS,
                "UPDATE",
                obj=of_pod("theirs", "n2"),
                old=of_pod("theirs", "n2"),
                subresource="status",
                user=NODE,
            ),
            "can only update pod status for pods with spec.nodeName set to itself",
            id="anothers-pods-status",
        ),
        pytest.param(
            an_admission(
                PODS, "UPDATE", obj=of_pod("ours", app="b"), old=of_pod("ours"), subresource="status", user=NODE
            ),
            "cannot update labels through pod status",
            id="labels-by-status",
        ),
        pytest.param(
            an_admission(PODS, "DELETE", old=of_pod("theirs", "n2"), user=NODE),
            "can only delete pods with spec.nodeName set to itself",
            id="anothers-pod",
        ),
        pytest.param(
            an_admission(PODS, obj=of_pod("theirs"), subresource="eviction", user=NODE),
            "can only evict pods",
            id="anothers-eviction",
        ),
        pytest.param(an_admission(PODS, obj=of_pod("new"), user=NODE), "can only create mirror pods", id="a-pod"),
        *(
            pytest.param(an_admission(PODS, obj=a_mirror_pod(*owners), user=NODE), why, id=f"a-mirror-pod-{what}")
            for what, owners, why in (
                ("without-an-owner", (), "can only create pods with an owner reference set to itself"),
                (
                    "of-something-called-like-it",
                    ({**ITS_NODE, "kind": "Pod"},),
                    "can only create pods with an owner reference set to itself",
                ),
                ("of-two", (ITS_NODE, ITS_NODE), "can only create pods with a single owner reference set to itself"),
                (
                    "of-a-replica-set",
                    ({**ITS_NODE, "apiVersion": "apps/v1", "kind": "ReplicaSet"},),
                    "can only create pods with an owner reference set to itself",
                ),
                (
                    "of-another-node",
                    ({**ITS_NODE, "name": "n2"},),
                    "can only create pods with an owner reference set to itself",
                ),
                (
                    "that-its-node-does-not-control",
                    ({**ITS_NODE, "controller": False},),
                    "can only create pods with a controller owner reference set to itself",
                ),
                (
                    "that-holds-its-node-up",
                    ({**ITS_NODE, "blockOwnerDeletion": True},),
                    "must not set blockOwnerDeletion on an owner reference",
                ),
                (
                    "of-a-namesake",
                    ({**ITS_NODE, "uid": "other"},),
                    "node n1 UID mismatch: expected other got uid-n1",
                ),
            )
        ),
        pytest.param(
            an_admission(
                PODS,
                obj=a_mirror_pod(ITS_NODE, volumes=[{"name": "v", "configMap": {"name": "c"}}]),
                user=NODE,
            ),
            "can not create pods that reference other objects",
            id="a-mirror-pod-that-reads-what-it-likes",
        ),
        pytest.param(
            an_admission(SERVICEACCOUNTS, obj=bound_token("theirs", "uid-theirs"), subresource="token", user=NODE),
            "bound to a pod scheduled on a different node",
            id="anothers-token",
        ),
        pytest.param(
            an_admission(SERVICEACCOUNTS, obj=bound_token("ours", "old"), subresource="token", user=NODE),
            "does not match the UID in record",
            id="a-former-pods-token",
        ),
        pytest.param(
            an_admission(SERVICEACCOUNTS, obj=bound_token("ours", "uid-ours", "bank"), subresource="token", user=NODE),
            'audience "bank" not found in pod spec volume, system:node:n1 is not authorized to request tokens for this '
            "audience",
            id="a-token-that-its-pod-does-not-mount",
        ),
        pytest.param(
            an_admission(
                SERVICEACCOUNTS, obj=bound_token("ours", "uid-ours", "vault", ""), subresource="token", user=NODE
            ),
            "node may only request 0 or 1 audiences",
            id="a-token-for-several",
        ),
        pytest.param(
            an_admission(
                SERVICEACCOUNTS,
                obj={"metadata": {"name": "default", "namespace": "default"}, "spec": {}},
                subresource="token",
                user=NODE,
            ),
            "not bound to a pod",
            id="an-unbound-token",
        ),
        pytest.param(
            an_admission(LEASES, obj={"metadata": {"name": "n2", "namespace": "kube-node-lease"}}, user=NODE),
            "can only access node lease with the same name",
            id="anothers-lease",
        ),
        pytest.param(
            an_admission(LEASES, obj={"metadata": {"name": "n1", "namespace": "default"}}, user=NODE),
            'can only access leases in the "kube-node-lease" system namespace',
            id="a-lease-elsewhere",
        ),
        pytest.param(
            an_admission(CERTIFICATESIGNINGREQUESTS, obj=a_csr("system:node:n2"), user=NODE),
            "can only create a node CSR with CN=system:node:n1",
            id="anothers-certificate",
        ),
    ],
)
def test_a_node_may_not(request_: Any, why: str) -> None:
    with pytest.raises(Forbidden) as refused:
        CHAIN.validate(request_)
    assert why in refused.value.message


def test_a_pod_of_a_runtime_class_is_refused_for_there_are_none() -> None:
    with pytest.raises(Forbidden) as refused:
        admitted(a_new_pod(runtimeClassName="gvisor"))
    assert str(refused.value) == 'pods "web" is forbidden: pod rejected: RuntimeClass "gvisor" not found'
