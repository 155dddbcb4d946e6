"""What a pod is refused for: one change to a good pod, and the exact sentences that follow."""

from __future__ import annotations

import pytest

from orchestrator.api.strategies.pods import PODS_STRATEGY, Binding
from tests.support.manifests import a_container, a_pod, a_typical_pod, changed, refusals

C = "spec/containers/0"
TOO_MANY_HANDLERS = "may not specify more than 1 handler type"
PORT = "must be between 1 and 65535, inclusive"
NEGATIVE = "must be greater than or equal to 0"
DOTS = "must not contain dots"


def test_good_pods_are_accepted():
    assert refusals(PODS_STRATEGY, a_pod()) == []
    assert refusals(PODS_STRATEGY, a_typical_pod()) == []


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        pytest.param("spec/containers", [], ["spec.containers: Required value"], id="no-containers"),
        pytest.param(f"{C}/image", "", ["spec.containers[0].image: Required value"], id="no-image"),
        pytest.param(
            f"{C}/image",
            " nginx",
            ['spec.containers[0].image: Invalid value: " nginx": must not have leading or trailing whitespace'],
            id="padded-image",
        ),
        pytest.param(f"{C}/name", "", ["spec.containers[0].name: Required value"], id="no-name"),
        pytest.param(f"{C}/name", "a.b", [f'spec.containers[0].name: Invalid value: "a.b": {DOTS}'], id="dotted-name"),
        pytest.param(
            "spec/containers",
            [a_container("a"), a_container("a")],
            ['spec.containers[1].name: Duplicate value: "a"'],
            id="two-of-a-name",
        ),
        pytest.param(
            "spec/initContainers",
            [a_container("main")],
            ['spec.initContainers[0].name: Duplicate value: "main"'],
            id="init-container-of-the-same-name",
        ),
        pytest.param(
            f"{C}/imagePullPolicy",
            "Sometimes",
            [
                'spec.containers[0].imagePullPolicy: Unsupported value: "Sometimes": supported values: "Always", '
                '"IfNotPresent", "Never"'
            ],
            id="pull-policy",
        ),
        pytest.param(
            f"{C}/terminationMessagePolicy",
            "Nowhere",
            [
                'spec.containers[0].terminationMessagePolicy: Unsupported value: "Nowhere": supported values: "File", '
                '"FallbackToLogsOnError"'
            ],
            id="message-policy",
        ),
        pytest.param(
            "spec/restartPolicy",
            "Sometimes",
            ['spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"'],
            id="restart-policy",
        ),
        pytest.param(
            "spec/dnsPolicy",
            "Mine",
            [
                'spec.dnsPolicy: Unsupported value: "Mine": supported values: "ClusterFirstWithHostNet", '
                '"ClusterFirst", "Default", "None"'
            ],
            id="dns-policy",
        ),
        pytest.param(
            "spec/dnsPolicy",
            "None",
            ["spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"],
            id="no-dns-and-nothing-instead",
        ),
        pytest.param(
            "spec/dnsConfig",
            {"nameservers": ["1.1.1.1", "1.1.1.2", "1.1.1.3", "x"]},
            [
                'spec.dnsConfig.nameservers: Invalid value: ["1.1.1.1","1.1.1.2","1.1.1.3","x"]: must not have more '
                "than 3 nameservers",
                'spec.dnsConfig.nameservers[3]: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or '
                "2001:db8::ffff)",
            ],
            id="dns-config",
        ),
        pytest.param(
            "spec/activeDeadlineSeconds",
            0,
            ["spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive"],
            id="deadline",
        ),
        pytest.param("spec/hostname", "a.b", [f'spec.hostname: Invalid value: "a.b": {DOTS}'], id="hostname"),
        pytest.param("spec/subdomain", "a.b", [f'spec.subdomain: Invalid value: "a.b": {DOTS}'], id="subdomain"),
        pytest.param(
            "spec/preemptionPolicy",
            "Always",
            ['spec.preemptionPolicy: Unsupported value: "Always": supported values: "PreemptLowerPriority", "Never"'],
            id="preemption-policy",
        ),
        pytest.param(
            "spec/ephemeralContainers",
            [a_container("debug")],
            ["spec.ephemeralContainers: Forbidden: cannot be set on create"],
            id="ephemeral-containers",
        ),
        pytest.param(
            "spec/hostAliases",
            [{"ip": "nowhere", "hostnames": ["ok"]}],
            [
                'spec.hostAliases[0].ip: Invalid value: "nowhere": must be a valid IP address, (e.g. 10.9.8.7 or '
                "2001:db8::ffff)"
            ],
            id="host-aliases",
        ),
        pytest.param(
            "spec/os",
            {"name": "beos"},
            ['spec.os: Unsupported value: "beos": supported values: "linux", "windows"'],
            id="operating-system",
        ),
        pytest.param(
            "metadata/annotations",
            {"controller.kubernetes.io/pod-deletion-cost": "1.5"},
            [
                'metadata.annotations[controller.kubernetes.io/pod-deletion-cost]: Invalid value: "1.5": must be a '
                "32bit integer"
            ],
            id="deletion-cost",
        ),
    ],
)
def test_spec(path, value, expected):
    assert refusals(PODS_STRATEGY, changed(a_pod(), path, value)) == expected


@pytest.mark.parametrize(
    ("ports", "expected"),
    [
        pytest.param([{"containerPort": 80}, {"containerPort": 80, "protocol": "UDP"}], [], id="good"),
        pytest.param([{}], ["ports[0].containerPort: Required value"], id="none"),
        pytest.param([{"containerPort": 65536}], [f"ports[0].containerPort: Invalid value: 65536: {PORT}"], id="high"),
        pytest.param(
            [{"containerPort": 1, "hostPort": -1}], [f"ports[0].hostPort: Invalid value: -1: {PORT}"], id="host-port"
        ),
        pytest.param(
            [{"containerPort": 1, "protocol": "tcp"}],
            ['ports[0].protocol: Unsupported value: "tcp": supported values: "SCTP", "TCP", "UDP"'],
            id="protocol",
        ),
        pytest.param(
            [{"containerPort": 1, "name": "p"}, {"containerPort": 2, "name": "p"}],
            ['ports[1].name: Duplicate value: "p"'],
            id="two-of-a-name",
        ),
        pytest.param(
            [{"containerPort": 1, "name": "80"}],
            ['ports[0].name: Invalid value: "80": must contain at least one letter (a-z)'],
            id="a-number-is-no-name",
        ),
        pytest.param(
            [{"containerPort": 1, "hostPort": 8080}, {"containerPort": 2, "hostPort": 8080}],
            ['ports[1].hostPort: Duplicate value: "TCP//8080"'],
            id="host-port-twice",
        ),
    ],
)
def test_ports(ports, expected):
    assert refusals(PODS_STRATEGY, changed(a_pod(), f"{C}/ports", ports)) == [
        f"spec.containers[0].{e}" for e in expected
    ]


def test_host_ports_collide_across_containers_but_not_across_init_containers():
    port = [{"containerPort": 1, "hostPort": 8080}]
    both = a_pod(containers=[a_container("a", ports=port), a_container("b", ports=port)])
    assert refusals(PODS_STRATEGY, both) == ['spec.containers[1].ports[0].hostPort: Duplicate value: "TCP//8080"']
    first = a_pod(containers=[a_container("a", ports=port)], initContainers=[a_container("b", ports=port)])
    assert refusals(PODS_STRATEGY, first) == []


def test_on_the_hosts_network_a_host_port_is_the_containers_port():
    pod = a_pod(containers=[a_container(ports=[{"containerPort": 80, "hostPort": 81}])], hostNetwork=True)
    assert refusals(PODS_STRATEGY, pod) == [
        "spec.containers[0].ports[0].hostPort: Invalid value: 81: must match `containerPort` when `hostNetwork` is true"
    ]


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        pytest.param([{"name": "A"}, {"name": "a.b-c"}, {"name": "with space"}], [], id="good"),
        pytest.param([{"name": ""}], ["env[0].name: Required value"], id="no-name"),
        pytest.param(
            [{"name": "a=b"}],
            [
                'env[0].name: Invalid value: "a=b": a valid environment variable name must consist only of printable '
                "ASCII characters other than '='"
            ],
            id="equals-sign",
        ),
        pytest.param(
            [{"name": "A", "valueFrom": {}}],
            [
                'env[0].valueFrom: Invalid value: "": must specify one of: `fieldRef`, `resourceFieldRef`, '
                "`configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
            ],
            id="from-nothing",
        ),
        pytest.param(
            [{"name": "A", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
            ['env[0].valueFrom: Invalid value: "": may not be specified when `value` is not empty'],
            id="both",
        ),
        pytest.param(
            [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.nope"}}}],
            [
                'env[0].valueFrom.fieldRef.fieldPath: Invalid value: "spec.nope": error converting fieldPath: field '
                "label not supported: spec.nope"
            ],
            id="unknown-field",
        ),
        pytest.param(
            [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels"}}}],
            [
                'env[0].valueFrom.fieldRef.fieldPath: Unsupported value: "metadata.labels": supported values: '
                '"metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName", '
                '"status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"'
            ],
            id="field-for-volumes-only",
        ),
        pytest.param(
            [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}}], [], id="one-label"
        ),
        pytest.param(
            [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "c"}}}],
            ["env[0].valueFrom.configMapKeyRef.key: Required value"],
            id="no-key",
        ),
        pytest.param(
            [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": ".."}}}],
            ["env[0].valueFrom.secretKeyRef.key: Invalid value: \"..\": must not be '..'"],
            id="bad-key",
        ),
        pytest.param(
            [{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1Mi"}}}],
            [
                'env[0].valueFrom.resourceFieldRef.divisor: Invalid value: "limits.cpu": only divisor\'s values 1m and '
                "1 are supported with the cpu resource"
            ],
            id="divisor",
        ),
        pytest.param(
            [{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "cpu"}}}],
            [
                'env[0].valueFrom.resourceFieldRef.resource: Unsupported value: "cpu": supported values: "limits.cpu", '
                '"limits.ephemeral-storage", "limits.memory", "requests.cpu", "requests.ephemeral-storage", '
                '"requests.memory"'
            ],
            id="resource",
        ),
        pytest.param(
            [{"name": "A", "valueFrom": {"resourceFieldRef": {"divisor": "1"}}}],
            ["env[0].valueFrom.resourceFieldRef.resource: Required value"],
            id="no-resource",
        ),
        pytest.param(
            [
                {"name": "A", "valueFrom": {"resourceFieldRef": {"resource": resource, "divisor": divisor}}}
                for resource, divisor in (
                    ("limits.cpu", "1m"),
                    ("requests.memory", "1Mi"),
                    ("limits.hugepages-2Mi", "1Ki"),
                    ("limits.memory", "0"),
                )
            ],
            [],
            id="good-divisors",
        ),
        *(
            pytest.param(
                [{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": resource, "divisor": "1m"}}}],
                [
                    f'env[0].valueFrom.resourceFieldRef.divisor: Invalid value: "{resource}": only divisor\'s values '
                    f"1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei are supported with the {words} resource"
                ],
                id=f"divisor-of-{words}",
            )
            for resource, words in (
                ("requests.hugepages-2Mi", "hugepages"),
                ("limits.memory", "memory"),
                ("requests.ephemeral-storage", "local ephemeral storage"),
            )
        ),
        pytest.param(
            [{"name": "A", "valueFrom": {"fileKeyRef": {"volumeName": "v", "path": "f", "key": "K"}}}],
            [],
            id="file-key",
        ),
        pytest.param(
            [{"name": "A", "valueFrom": {"fileKeyRef": {"volumeName": "v", "path": "../f"}}}],
            [
                "env[0].valueFrom.fileKeyRef.key: Required value",
                "env[0].valueFrom.fileKeyRef.path: Invalid value: \"../f\": must not contain '..'",
            ],
            id="file-key-outside",
        ),
        pytest.param(
            [
                {
                    "name": "A",
                    "valueFrom": {
                        "fieldRef": {"fieldPath": "metadata.name"},
                        "configMapKeyRef": {"name": "c", "key": "k"},
                    },
                }
            ],
            ['env[0].valueFrom: Invalid value: "": may not have more than one field specified at a time'],
            id="two-sources",
        ),
    ],
)
def test_env(env, expected):
    assert refusals(PODS_STRATEGY, changed(a_pod(), f"{C}/env", env)) == [f"spec.containers[0].{e}" for e in expected]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        pytest.param({"configMapRef": {"name": "c"}, "prefix": "P_"}, [], id="good"),
        pytest.param(
            {},
            ['envFrom: Invalid value: "": must specify one of: `configMapRef` or `secretRef`'],
            id="nothing",
        ),
        pytest.param({"secretRef": {}}, ["envFrom[0].secretRef.name: Required value"], id="no-name"),
        pytest.param(
            {"secretRef": {"name": "s"}, "configMapRef": {"name": "c"}},
            ['envFrom: Invalid value: "": may not have more than one field specified at a time'],
            id="both",
        ),
    ],
)
def test_env_from(source, expected):
    found = refusals(PODS_STRATEGY, changed(a_pod(), f"{C}/envFrom", [source]))
    assert found == [f"spec.containers[0].{e}" for e in expected]


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        pytest.param({"limits": {"cpu": "1"}, "requests": {"cpu": "1000m"}}, [], id="equal-in-other-words"),
        pytest.param(
            {"limits": {"cpu": "1"}, "requests": {"cpu": "2"}},
            ['requests: Invalid value: "2": must be less than or equal to cpu limit of 1'],
            id="request-above-limit",
        ),
        pytest.param({"limits": {"cpu": "-1"}}, None, id="negative"),
        pytest.param(
            {"requests": {"gold": "1"}},
            [
                'requests[gold]: Invalid value: "gold": must be a standard resource type or fully qualified',
                'requests[gold]: Invalid value: "gold": must be a standard resource for containers',
            ],
            id="unknown-resource",
        ),
        pytest.param(
            {"limits": {"pods": "1"}},
            [
                'limits[pods]: Invalid value: "pods": must be a standard resource for containers',
                'requests[pods]: Invalid value: "pods": must be a standard resource for containers',
            ],
            id="resource-of-nodes",
        ),
        pytest.param({"limits": {"example.com/gpu": "1"}}, [], id="extended"),
        pytest.param(
            {"limits": {"example.com/gpu": "500m"}},
            [
                'limits[example.com/gpu]: Invalid value: "500m": must be an integer',
                'requests[example.com/gpu]: Invalid value: "500m": must be an integer',
            ],
            id="half-a-device",
        ),
        pytest.param(
            {"requests": {"example.com/gpu": "1"}},
            ["limits: Required value: Limit must be set for non overcommitable resources"],
            id="device-without-limit",
        ),
        pytest.param(
            {"limits": {"example.com/gpu": "2"}, "requests": {"example.com/gpu": "1"}},
            ['requests: Invalid value: "1": must be equal to example.com/gpu limit of 2'],
            id="devices-are-not-shared",
        ),
        pytest.param(
            {"limits": {"hugepages-2Mi": "4Mi"}},
            ["resources: Forbidden: HugePages require cpu or memory"],
            id="huge-alone",
        ),
        pytest.param({"limits": {"hugepages-2Mi": "4Mi", "cpu": "1"}}, [], id="huge-pages"),
        pytest.param(
            {"limits": {"hugepages-2Mi": "3Mi", "cpu": "1"}},
            [
                'limits[hugepages-2Mi]: Invalid value: "3Mi": 3Mi is not positive integer multiple of hugepages-2Mi',
                'requests[hugepages-2Mi]: Invalid value: "3Mi": 3Mi is not positive integer multiple of hugepages-2Mi',
            ],
            id="odd-huge-pages",
        ),
        pytest.param(
            {"claims": [{"name": "gpu"}]},
            ['claims[0]: Not found: "gpu": must be one of the names in pod.spec.resourceClaims which is empty'],
            id="unknown-claim",
        ),
    ],
)
def test_resources(resources, expected):
    found = refusals(PODS_STRATEGY, changed(a_pod(), f"{C}/resources", resources))
    if expected is None:
        assert found == [
            f'spec.containers[0].resources.{k}[cpu]: Invalid value: "-1": {NEGATIVE}' for k in ("limits", "requests")
        ]
    else:
        prefix = "spec.containers[0]."
        assert found == [prefix + (e if e.startswith("resources:") else f"resources.{e}") for e in expected]


@pytest.mark.parametrize(
    ("probe", "expected"),
    [
        pytest.param({}, [": Required value: must specify a handler type"], id="no-handler"),
        pytest.param(
            {"exec": {"command": ["a"]}, "tcpSocket": {"port": 1}},
            [f".tcpSocket: Forbidden: {TOO_MANY_HANDLERS}"],
            id="two-handlers",
        ),
        pytest.param({"exec": {}}, [".exec.command: Required value"], id="no-command"),
        pytest.param({"tcpSocket": {"port": 0}}, [f".tcpSocket.port: Invalid value: 0: {PORT}"], id="no-port"),
        pytest.param(
            {"httpGet": {"port": 80, "scheme": "FTP"}},
            ['.httpGet.scheme: Unsupported value: "FTP": supported values: "HTTP", "HTTPS"'],
            id="scheme",
        ),
        pytest.param(
            {"httpGet": {"port": 80, "httpHeaders": [{"name": "a b"}]}},
            [
                '.httpGet.httpHeaders: Invalid value: "a b": a valid HTTP header must consist of alphanumeric '
                "characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')"
            ],
            id="header",
        ),
        pytest.param(
            {"tcpSocket": {"port": 1}, "periodSeconds": -1},
            [f".periodSeconds: Invalid value: -1: {NEGATIVE}"],
            id="negative-period",
        ),
        pytest.param(
            {"tcpSocket": {"port": 1}, "successThreshold": 2},
            [".successThreshold: Invalid value: 2: must be 1"],
            id="one-success-is-enough",
        ),
        pytest.param(
            {"tcpSocket": {"port": 1}, "terminationGracePeriodSeconds": 0},
            [".terminationGracePeriodSeconds: Invalid value: 0: must be greater than 0"],
            id="grace-period",
        ),
    ],
)
def test_liveness_probe(probe, expected):
    manifest = changed(a_pod(), f"{C}/livenessProbe", {"initialDelaySeconds": 1, **probe})
    assert refusals(PODS_STRATEGY, manifest) == [f"spec.containers[0].livenessProbe{e}" for e in expected]


def test_readiness_has_no_grace_period():
    probe = {"tcpSocket": {"port": 1}, "terminationGracePeriodSeconds": 5, "successThreshold": 2}
    assert refusals(PODS_STRATEGY, changed(a_pod(), f"{C}/readinessProbe", probe)) == [
        "spec.containers[0].readinessProbe.terminationGracePeriodSeconds: Invalid value: 5: must not be set for "
        "readinessProbes"
    ]


def test_a_hook_may_not_sleep_past_the_grace_period():
    lifecycle = {"preStop": {"sleep": {"seconds": 31}}}
    assert refusals(PODS_STRATEGY, changed(a_pod(), f"{C}/lifecycle", lifecycle)) == [
        "spec.containers[0].lifecycle.preStop.sleep: Invalid value: 31: must be non-negative and less than "
        "terminationGracePeriodSeconds (30)"
    ]


def test_init_containers_have_the_restart_policies_that_containers_have():
    assert refusals(PODS_STRATEGY, a_pod(initContainers=[a_container("a", restartPolicy="Maybe")])) == [
        'spec.initContainers[0].restartPolicy: Unsupported value: "Maybe": supported values: "Always", "Never", '
        '"OnFailure"'
    ]
    assert refusals(PODS_STRATEGY, a_pod(initContainers=[a_container("a", restartPolicy="Never")])) == []


def test_two_init_containers_have_two_names():
    pod = a_pod(initContainers=[a_container("a"), a_container("b"), a_container("a")])
    assert refusals(PODS_STRATEGY, pod) == ['spec.initContainers[2].name: Duplicate value: "a"']


def test_init_containers_have_probes_only_as_sidecars():
    probe = {"tcpSocket": {"port": 1}}
    plain = a_pod(initContainers=[a_container("first", readinessProbe=probe)])
    assert refusals(PODS_STRATEGY, plain) == [
        "spec.initContainers[0].readinessProbe: Forbidden: may not be set for init containers without "
        "restartPolicy=Always"
    ]
    sidecar = changed(plain, "spec/initContainers/0/restartPolicy", "Always")
    assert refusals(PODS_STRATEGY, sidecar) == []


@pytest.mark.parametrize(
    ("binding", "expected"),
    [
        pytest.param({"target": {"kind": "Node", "name": "n1"}}, [], id="good"),
        pytest.param({"target": {"name": "n1"}}, [], id="kind-implied"),
        pytest.param({}, ["target.name: Required value"], id="nowhere"),
        pytest.param(
            {"target": {"kind": "Pod", "name": "n1"}},
            ['target.kind: Unsupported value: "Pod": supported values: "Node", "<empty>"'],
            id="no-node",
        ),
    ],
)
def test_binding(binding, expected):
    assert [str(problem) for problem in Binding().validate_body(binding)] == expected


@pytest.mark.parametrize(
    ("spec", "phase", "requested", "expected"),
    [
        pytest.param({"nodeName": "n", "terminationGracePeriodSeconds": 30}, "Running", None, 30, id="its-own"),
        pytest.param({"nodeName": "n", "terminationGracePeriodSeconds": 30}, "Running", 5, 5, id="as-asked"),
        pytest.param({"nodeName": "n", "terminationGracePeriodSeconds": 30}, "Running", 0, 0, id="now"),
        pytest.param({"terminationGracePeriodSeconds": 30}, "Pending", None, 0, id="on-no-node"),
        pytest.param({"nodeName": "n", "terminationGracePeriodSeconds": 30}, "Failed", None, 0, id="ended"),
        pytest.param({"nodeName": "n", "terminationGracePeriodSeconds": -5}, "Running", None, 1, id="negative"),
    ],
)
def test_grace(spec, phase, requested, expected):
    assert PODS_STRATEGY.grace_seconds({"spec": spec, "status": {"phase": phase}}, requested) == expected
