"""Rules of fields that few objects have: DNS, claims, block devices, profiles, load balancers, conditions."""

from __future__ import annotations

import base64
import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from orchestrator.api.strategies.apps import DEPLOYMENTS_STRATEGY, STATEFULSETS_STRATEGY
from orchestrator.api.strategies.certificates import CERTIFICATESIGNINGREQUESTS_STRATEGY, validate_signer_name
from orchestrator.api.strategies.nodes import NODES_STRATEGY
from orchestrator.api.strategies.pods import PODS_STRATEGY
from orchestrator.api.strategies.services import SERVICES_STRATEGY
from tests.support.manifests import (
    a_container,
    a_pod,
    a_service,
    a_workload,
    changed,
    created,
    refusals,
    status_refusals,
    update_refusals,
    updated,
)

HARD = "requiredDuringSchedulingIgnoredDuringExecution"
SOFT = "preferredDuringSchedulingIgnoredDuringExecution"
NULL_SELECTOR = "a null labelSelector results in matching no pod"
RANGE = "must be between 0 and 2147483647, inclusive"


def named(field, value, words):
    return f"{field}: Invalid value: {value}: {words}"


NAME = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param(
            {"dnsPolicy": "None", "dnsConfig": {}},
            [
                "spec.dnsConfig.nameservers: Required value: must provide at least one DNS nameserver when `dnsPolicy` "
                "is None"
            ],
            id="no-nameserver",
        ),
        pytest.param({"dnsConfig": {"searches": ["a.b.", "."]}}, [], id="searches"),
        pytest.param(
            {"dnsConfig": {"searches": ["ok", "not ok"]}},
            [f'spec.dnsConfig.searches[1]: Invalid value: "not ok": {NAME}'],
            id="search-path-that-is-no-name",
        ),
        pytest.param(
            {"dnsConfig": {"searches": ["a"] * 33}},
            [
                "spec.dnsConfig.searches: Invalid value: "
                + "["
                + ",".join(['"a"'] * 33)
                + "]: must not have more than 32 search paths"
            ],
            id="too-many-searches",
        ),
        pytest.param(
            {"dnsConfig": {"options": [{"value": "x"}]}},
            ["spec.dnsConfig.options[0]: Required value: must not be empty"],
            id="option-without-name",
        ),
        pytest.param(
            {"schedulingGates": [{"name": "a.b/c"}, {"name": "a.b/c"}]},
            ['spec.schedulingGates[1]: Duplicate value: "a.b/c"'],
            id="gate-twice",
        ),
        pytest.param(
            {"schedulingGates": [{"name": "a.b/c"}], "nodeName": "n"},
            ["spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared"],
            id="gated-on-a-node",
        ),
        pytest.param(
            {"readinessGates": [{"conditionType": "a/b/c"}]},
            [
                'spec.readinessGates[0].conditionType: Invalid value: "a/b/c": a valid label key must consist of '
                "alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. "
                "'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
                "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. "
                "'example.com/MyName')"
            ],
            id="readiness-gate",
        ),
        pytest.param(
            {"resourceClaims": [{"name": "gpu"}]},
            [
                'spec.resourceClaims[0]: Invalid value: {"name":"gpu"}: must specify one of: `resourceClaimName`, '
                "`resourceClaimTemplateName`"
            ],
            id="claim-of-nothing",
        ),
        pytest.param(
            {
                "resourceClaims": [
                    {"name": "gpu", "resourceClaimName": "a"},
                    {"name": "gpu", "resourceClaimName": "b"},
                ]
            },
            ['spec.resourceClaims[1].name: Duplicate value: "gpu"'],
            id="claim-twice",
        ),
        pytest.param(
            {"overhead": {"cpu": "-1"}},
            ['spec.overhead.limits[cpu]: Invalid value: "-1": must be greater than or equal to 0'],
            id="overhead",
        ),
        pytest.param({"os": {}}, ["spec.os.name: Required value: cannot be empty"], id="no-system"),
        pytest.param(
            {"hostUsers": False, "hostPID": True},
            ["spec.HostPID: Forbidden: when `pod.Spec.HostUsers` is false"],
            id="users",
        ),
    ],
)
def test_pods(spec, expected):
    assert refusals(PODS_STRATEGY, a_pod(**spec)) == expected


@pytest.mark.parametrize(
    ("container", "expected"),
    [
        pytest.param({"restartPolicy": "OnFailure"}, [], id="own-restart-policy"),
        pytest.param(
            {"restartPolicy": "Maybe"},
            ['restartPolicy: Unsupported value: "Maybe": supported values: "Always", "Never", "OnFailure"'],
            id="restart-policy",
        ),
        pytest.param(
            {
                "resizePolicy": [
                    {"resourceName": "cpu", "restartPolicy": "NotRequired"},
                    {"resourceName": "cpu", "restartPolicy": "Later"},
                ]
            },
            [
                'resizePolicy[1]: Duplicate value: "cpu"',
                'resizePolicy: Unsupported value: "Later": supported values: "NotRequired", "RestartContainer"',
            ],
            id="resize",
        ),
        pytest.param(
            {"securityContext": {"capabilities": {"add": ["CAP_SYS_ADMIN"]}, "allowPrivilegeEscalation": False}},
            [
                'securityContext: Invalid value: {"capabilities":{"add":["CAP_SYS_ADMIN"]},'
                '"allowPrivilegeEscalation":false}: cannot set `allowPrivilegeEscalation` to false and '
                "`capabilities.Add` CAP_SYS_ADMIN"
            ],
            id="capability",
        ),
        pytest.param(
            {"securityContext": {"seccompProfile": {"type": "Unconfined", "localhostProfile": "a"}}},
            [
                'securityContext.seccompProfile.localhostProfile: Invalid value: {"type":"Unconfined",'
                '"localhostProfile":"a"}: can only be set when seccomp type is Localhost'
            ],
            id="seccomp",
        ),
        pytest.param(
            {"securityContext": {"appArmorProfile": {"type": "Localhost"}}},
            [
                "securityContext.appArmorProfile.localhostProfile: Required value: must be set when AppArmor type is "
                "Localhost"
            ],
            id="app-armor",
        ),
        pytest.param(
            {"securityContext": {"appArmorProfile": {"type": "Localhost", "localhostProfile": " a"}}},
            [
                'securityContext.appArmorProfile.localhostProfile: Invalid value: " a": must not be padded with '
                "whitespace"
            ],
            id="padded-profile",
        ),
        pytest.param(
            {"env": [{"name": "A", "valueFrom": {"fileKeyRef": {"key": "K"}}}]},
            [
                "env[0].valueFrom.fileKeyRef.volumeName: Required value",
                "env[0].valueFrom.fileKeyRef.path: Required value",
            ],
            id="file-key",
        ),
        pytest.param(
            {"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name['x']"}}}]},
            ['env[0].valueFrom.fieldRef: Invalid value: "metadata.name": does not support subscript'],
            id="subscript",
        ),
        pytest.param(
            {"env": [{"name": "A", "valueFrom": {"fieldRef": {"apiVersion": "v2", "fieldPath": "a"}}}]},
            [
                'env[0].valueFrom.fieldRef.fieldPath: Invalid value: "a": error converting fieldPath: unsupported pod '
                "version: v2"
            ],
            id="version",
        ),
        pytest.param(
            {"volumeMounts": [{"name": "v", "mountPath": "/d", "recursiveReadOnly": "Sometimes"}]},
            [
                'volumeMounts.recursiveReadOnly: Unsupported value: "Sometimes": supported values: "Disabled", '
                '"Enabled", "IfPossible"'
            ],
            id="recursive",
        ),
    ],
)
def test_containers(container, expected):
    pod = a_pod(containers=[a_container(**container)], volumes=[{"name": "v"}])
    assert refusals(PODS_STRATEGY, pod) == [f"spec.containers[0].{e}" for e in expected]


CLAIM = {"persistentVolumeClaim": {"claimName": "c"}}


@pytest.mark.parametrize(
    ("devices", "expected"),
    [
        pytest.param([{"name": "v", "devicePath": "/dev/x"}], [], id="good"),
        pytest.param(
            [{"name": "v", "devicePath": "/dev/../x"}],
            ["[0].devicePath: Invalid value: \"/dev/../x\": can not contain backsteps ('..')"],
            id="climbing",
        ),
        pytest.param(
            [{"name": "v", "devicePath": "/dev/x"}, {"name": "v", "devicePath": "/dev/x"}],
            [
                '[1].name: Invalid value: "v": must be unique',
                '[1].devicePath: Invalid value: "/dev/x": must be unique',
            ],
            id="twice",
        ),
        pytest.param([{"name": "v"}], ["[0].devicePath: Required value"], id="no-path"),
        pytest.param([{"devicePath": "/x"}], ["[0].name: Required value", '[0].name: Not found: ""'], id="no-name"),
        pytest.param([{"name": "w", "devicePath": "/x"}], ['[0].name: Not found: "w"'], id="unknown"),
    ],
)
def test_block_devices(devices, expected):
    pod = a_pod(containers=[a_container(volumeDevices=devices)], volumes=[{"name": "v", **CLAIM}])
    assert refusals(PODS_STRATEGY, pod) == [f"spec.containers[0].volumeDevices{e}" for e in expected]


def test_a_volume_is_a_directory_or_a_device():
    container = a_container(
        volumeMounts=[{"name": "v", "mountPath": "/d"}], volumeDevices=[{"name": "v", "devicePath": "/d"}]
    )
    at = "spec.containers[0]"
    assert refusals(PODS_STRATEGY, a_pod(containers=[container], volumes=[{"name": "v", **CLAIM}])) == [
        named(f"{at}.volumeMounts[0].name", '"v"', "must not already exist in volumeDevices"),
        named(f"{at}.volumeMounts[0].mountPath", '"/d"', "must not already exist as a path in volumeDevices"),
        named(f"{at}.volumeDevices[0].name", '"v"', "must not already exist in volumeMounts"),
        named(f"{at}.volumeDevices[0].devicePath", '"/d"', "must not already exist as a path in volumeMounts"),
    ]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        pytest.param(
            {"gitRepo": {"directory": "/x"}},
            [".gitRepo.repository: Required value", named(".gitRepo.directory", '"/x"', "must be a relative path")],
            id="git",
        ),
        pytest.param({"gitRepo": {"repository": "https://example.com/x"}}, [], id="git-good"),
        pytest.param({"image": {"pullPolicy": "Never"}}, [".image.reference: Required value"], id="image"),
        pytest.param({"ephemeral": {}}, [".ephemeral.volumeClaimTemplate: Required value"], id="ephemeral"),
        pytest.param(
            {"ephemeral": {"volumeClaimTemplate": {}}},
            [
                ".ephemeral.volumeClaimTemplate.spec.accessModes: Required value: at least 1 access mode is required",
                ".ephemeral.volumeClaimTemplate.spec.resources[storage]: Required value",
            ],
            id="ephemeral-without-spec",
        ),
        pytest.param(
            {"ephemeral": {"volumeClaimTemplate": {"spec": {"accessModes": ["ReadWriteOnce"]}}}},
            [".ephemeral.volumeClaimTemplate.spec.resources[storage]: Required value"],
            id="ephemeral-of-no-size",
        ),
        pytest.param(
            {"projected": {"sources": [{"clusterTrustBundle": {"path": "ca"}}]}},
            [".projected.sources[0].clusterTrustBundle: Required value: either name or signerName must be specified"],
            id="bundle-of-nobody",
        ),
        pytest.param(
            {"projected": {"sources": [{"clusterTrustBundle": {"name": "a"}}]}},
            [".projected.sources[0].clusterTrustBundle.path: Required value"],
            id="bundle-nowhere",
        ),
        pytest.param(
            {"projected": {"sources": [{"clusterTrustBundle": {"path": "ca", "name": "a"}}]}}, [], id="bundle"
        ),
        pytest.param(
            {"projected": {"sources": [{"serviceAccountToken": {}}]}},
            [".projected.path: Required value"],
            id="token-nowhere",
        ),
        pytest.param({"projected": {"sources": [{"downwardAPI": {"items": [{}]}}]}}, None, id="empty-file"),
    ],
)
def test_volumes(source, expected):
    found = refusals(PODS_STRATEGY, a_pod(volumes=[{"name": "v", **source}], serviceAccountName="default"))
    if expected is None:
        assert [problem.rpartition(": Required")[0] for problem in found] == [
            "spec.volumes[0].projected.sources[0].downwardAPI.path",
            "spec.volumes[0].projected.sources[0].downwardAPI",
        ]
    else:
        assert found == [f"spec.volumes[0]{e}" for e in expected]


@pytest.mark.parametrize(
    ("affinity", "expected"),
    [
        pytest.param(
            {"nodeAffinity": {SOFT: [{"preference": {"matchExpressions": [{"key": "beta.kubernetes.io/arch"}]}}]}},
            [
                f"spec.affinity.nodeAffinity.{SOFT}[0].preference.matchExpressions[0].key: beta.kubernetes.io/arch is "
                'deprecated since v1.14; use "kubernetes.io/arch" instead'
            ],
            id="deprecated-label",
        ),
        pytest.param(
            {"podAffinity": {HARD: [{}], SOFT: [{}]}},
            [
                f"spec.affinity.podAffinity.{HARD}[0].labelSelector: {NULL_SELECTOR}",
                f"spec.affinity.podAffinity.{SOFT}[0].podAffinityTerm.labelSelector: {NULL_SELECTOR}",
            ],
            id="no-selector",
        ),
    ],
)
def test_warnings_of_affinity(affinity, expected):
    assert kubernetes_warnings(PODS_STRATEGY, a_pod(affinity=affinity)) == expected


def kubernetes_warnings(strategy, manifest):
    """The warnings that Kubernetes gives as well."""
    return [text for text in strategy.warnings(created(strategy, manifest), None) if ": not implemented, " not in text]


def test_warnings_of_rarer_fields():
    pod = a_pod(
        topologySpreadConstraints=[{"topologyKey": "failure-domain.beta.kubernetes.io/zone"}],
        volumes=[{"name": "v", "glusterfs": {}}],
        hostAliases=[{"ip": "1.1.1.1"}, {"ip": "1.1.1.1"}],
        imagePullSecrets=[{}],
        meta={"annotations": {"scheduler.alpha.kubernetes.io/critical-pod": ""}},
    )
    assert kubernetes_warnings(PODS_STRATEGY, pod) == [
        "spec.topologySpreadConstraints[0].topologyKey: failure-domain.beta.kubernetes.io/zone is deprecated since "
        'v1.17; use "topology.kubernetes.io/zone" instead',
        f"spec.topologySpreadConstraints[0].labelSelector: {NULL_SELECTOR}",
        "metadata.annotations[scheduler.alpha.kubernetes.io/critical-pod]: non-functional in v1.16+; use the "
        '"priorityClassName" field instead',
        "spec.volumes[0].glusterfs: deprecated in v1.25, non-functional in v1.26+",
        'spec.hostAliases[1].ip: duplicate ip "1.1.1.1"',
        'spec.imagePullSecrets[0].name: invalid empty name ""',
    ]


def test_host_ports_that_may_clash():
    ports = [{"containerPort": 1, "hostPort": 80, "hostIP": "1.1.1.1"}, {"containerPort": 1, "hostPort": 80}]
    pod = created(PODS_STRATEGY, a_pod(containers=[a_container(ports=ports)]))
    assert PODS_STRATEGY.warnings(pod, None) == [
        "spec.containers[0].ports[1]: dangerously ambiguous port definition with spec.containers[0].ports[0]"
    ]


BALANCED = created(SERVICES_STRATEGY, a_service(type="LoadBalancer", externalTrafficPolicy="Local"))


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param(
            {"type": "LoadBalancer", "ports": [{"port": 10250}]},
            [named("spec.ports[0]", 10250, "may not expose port 10250 externally since it is used by kubelet")],
            id="kubelet",
        ),
        pytest.param(
            {"sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 1}}, "sessionAffinity": "ClientIP"},
            [],
            id="timeout",
        ),
        pytest.param(
            {"clusterIPs": ["10.96.0.1"]},
            [named("spec.clusterIPs", '["10.96.0.1"]', "must be empty when `clusterIP` is not specified")],
            id="list-only",
        ),
        pytest.param(
            {"clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1", "10.96.0.2"]},
            [
                named(
                    "spec.clusterIPs",
                    '["10.96.0.1","10.96.0.2"]',
                    "may specify no more than one IP for each IP family",
                )
            ],
            id="two-of-a-family",
        ),
        pytest.param(
            {"healthCheckNodePort": 30000},
            [
                named(
                    "spec.healthCheckNodePort",
                    30000,
                    "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'",
                )
            ],
            id="health-port",
        ),
        pytest.param({"ports": [{"port": 80, "appProtocol": "a b"}]}, None, id="application-protocol"),
        pytest.param(
            {"trafficDistribution": "Far"},
            [
                'spec.trafficDistribution: Unsupported value: "Far": supported values: "PreferClose", '
                '"PreferSameNode", "PreferSameZone"'
            ],
            id="distribution",
        ),
        pytest.param({"externalIPs": ["1.2.3.4"]}, [], id="external-addresses"),
    ],
)
def test_services(spec, expected):
    found = refusals(SERVICES_STRATEGY, a_service(**spec))
    if expected is None:
        assert found[0].startswith('spec.ports[0].appProtocol: Invalid value: "a b": name part must consist of')
    else:
        assert found == expected


def test_what_belongs_to_a_load_balancer_stays_or_goes_with_it():
    stored = changed(changed(BALANCED, "spec/loadBalancerClass", "a.b/c"), "spec/healthCheckNodePort", 30001)
    assert update_refusals(SERVICES_STRATEGY, changed(stored, "spec/loadBalancerClass", "a.b/d"), stored) == [
        'spec.loadBalancerClass: Invalid value: "a.b/d": may not change once set'
    ]
    assert update_refusals(SERVICES_STRATEGY, changed(stored, "spec/healthCheckNodePort", 30002), stored) == [
        "spec.healthCheckNodePort: Forbidden: field is immutable"
    ]
    plain = updated(SERVICES_STRATEGY, changed(stored, "spec/type", "ClusterIP"), stored)["spec"]
    gone = {
        "loadBalancerClass",
        "healthCheckNodePort",
        "allocateLoadBalancerNodePorts",
        "externalTrafficPolicy",
    }
    assert not gone & plain.keys()


@pytest.mark.parametrize(
    ("point", "expected"),
    [
        ({"ip": "x"}, ['ip: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)']),
        ({"ipMode": "VIP"}, ["ipMode: Forbidden: may not be specified when `ip` is not set"]),
        ({"ip": "1.2.3.4", "ipMode": "X"}, ['ipMode: Unsupported value: "X": supported values: "Proxy", "VIP"']),
        ({"hostname": "1.2.3.4"}, ['hostname: Invalid value: "1.2.3.4": must be a DNS name, not an IP address']),
    ],
)
def test_points_of_a_load_balancer(point, expected):
    new = {**BALANCED, "status": {"loadBalancer": {"ingress": [point]}}}
    assert status_refusals(SERVICES_STRATEGY, new, BALANCED) == [
        f"status.loadBalancer.ingress[0].{e}" for e in expected
    ]


def test_rarer_warnings_of_services():
    spec = {"clusterIP": "None", "loadBalancerIP": "1.1.1.1", "externalIPs": ["1.1.1.1"], "externalName": "a"}
    assert kubernetes_warnings(SERVICES_STRATEGY, a_service(trafficDistribution="PreferClose", **spec)) == [
        "spec.loadBalancerIP is ignored for headless services",
        "spec.externalIPs is ignored for headless services",
        'spec.externalName is ignored when spec.type is not "ExternalName"',
        "spec.trafficDistribution: PreferClose is deprecated in v1.34+, use PreferSameZone",
    ]


def test_rarer_rules_of_workloads():
    assert refusals(STATEFULSETS_STRATEGY, a_workload("StatefulSet", ordinals={"start": -1})) == [
        "spec.ordinals.start: Invalid value: -1: must be greater than or equal to 0"
    ]
    rolling = {"rollingUpdate": {"maxUnavailable": 0}}
    assert refusals(STATEFULSETS_STRATEGY, a_workload("StatefulSet", updateStrategy=rolling)) == [
        "spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: 0: cannot be 0"
    ]
    deadline = changed(a_workload("Deployment"), "spec/template/spec/activeDeadlineSeconds", 1)
    assert refusals(DEPLOYMENTS_STRATEGY, deadline) == [
        "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in ReplicaSet is not Supported"
    ]
    unclear = a_workload("Deployment", selector={"matchExpressions": [{"key": "a", "operator": "Near"}]})
    assert refusals(DEPLOYMENTS_STRATEGY, unclear) == [
        'spec.selector.matchExpressions[0].operator: Invalid value: "Near": not a valid selector operator',
        'spec.selector: Invalid value: {"matchExpressions":[{"key":"a","operator":"Near"}]}: invalid label selector',
    ]


def test_rarer_warnings_of_workloads():
    stateful = created(STATEFULSETS_STRATEGY, a_workload("StatefulSet", revisionHistoryLimit=-1))
    assert STATEFULSETS_STRATEGY.warnings(stateful, None) == [
        "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended"
    ]
    dotted = created(DEPLOYMENTS_STRATEGY, changed(a_workload("Deployment"), "metadata/name", "a.b"))
    assert DEPLOYMENTS_STRATEGY.warnings(dotted, None) == [
        "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label "
        "is recommended: [must not contain dots]"
    ]


def test_a_node_has_at_most_one_range_of_each_family():
    node = {"metadata": {"name": "n"}, "spec": {"podCIDRs": ["10.244.0.0/24", "10.244.0.0/24"]}}
    assert refusals(NODES_STRATEGY, node) == [
        'spec.podCIDRs: Invalid value: ["10.244.0.0/24","10.244.0.0/24"]: may specify no more than one CIDR for each '
        "IP family",
        'spec.podCIDRs[1]: Duplicate value: "10.244.0.0/24"',
    ]
    old = {"metadata": {"name": "n"}, "spec": {"configSource": {}, "externalID": "x"}}
    assert NODES_STRATEGY.warnings(old, None) == [
        "spec.configSource: deprecated in v1.22, support removal is planned in v1.26",
        "spec.externalID: this field is deprecated, and is unused by Kubernetes",
    ]


def a_key_and_request():
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "n")])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    now = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(days=1))
    certificate = builder.sign(key, hashes.SHA256())
    return tuple(
        base64.b64encode(one.public_bytes(serialization.Encoding.PEM)).decode() for one in (request, certificate)
    )


def test_conditions_and_content_of_certificates():
    request, certificate = a_key_and_request()
    spec = {"request": request, "signerName": "a.b/c", "usages": ["any"]}
    stored = created(CERTIFICATESIGNINGREQUESTS_STRATEGY, {"metadata": {"name": "n"}, "spec": spec})
    issued = {**stored, "status": {"certificate": certificate, "conditions": [{"type": "Seen", "status": "False"}]}}
    assert status_refusals(CERTIFICATESIGNINGREQUESTS_STRATEGY, issued, stored) == []
    failed = [
        {"type": "Failed", "status": "False"},
        {"status": "True"},
        {"type": "X"},
        {"type": "X", "status": "Maybe"},
    ]
    assert status_refusals(
        CERTIFICATESIGNINGREQUESTS_STRATEGY, {**stored, "status": {"conditions": failed}}, stored
    ) == [
        'status.conditions[0].status: Unsupported value: "False": supported values: "True"',
        "status.conditions[1].type: Required value",
        "status.conditions[2].status: Required value",
        'status.conditions[3].status: Unsupported value: "Maybe": supported values: "False", "True", "Unknown"',
        'status.conditions[3].type: Duplicate value: "X"',
    ]
    forged = changed(stored, "spec/request", base64.b64encode(b"-----BEGIN CERTIFICATE REQUEST-----").decode())
    (only,) = refusals(CERTIFICATESIGNINGREQUESTS_STRATEGY, forged)
    assert only.startswith("spec.request: Invalid value: ")


def test_signers_with_odd_labels():
    found = [str(problem) for problem in validate_signer_name("s", "A.b/C")]
    assert found[0].startswith('s: Invalid value: "A.b": validating label "A": a lowercase RFC 1123 label must consist')
    assert found[1].startswith('s: Invalid value: "C": validating label "C": a lowercase RFC 1123 subdomain must')
    assert [str(problem) for problem in validate_signer_name("s", f"a.b/{'c.' * 300}c")] == [
        "s: Too long: may not be more than 571 bytes"
    ]
