"""Variables, fields and names that a container gets."""

from __future__ import annotations

import msgspec
import pytest

from node_agent.pods.environment import environment, expand
from node_agent.pods.facts import ConfigProblem, NodeFacts, References
from node_agent.pods.fields import format_map
from node_agent.pods.naming import hosts_file, resolv_conf, runtime_hostname
from orchestrator.api.views.agent import Service
from orchestrator.api.views.configuration import ConfigMap, Secret
from tests.support.runtime import a_container, a_pod

FACTS = NodeFacts(
    name="n1",
    address="10.0.0.1",
    cpu_milli=4000,
    memory_bytes=8 << 30,
    resolv_conf="nameserver 1.1.1.1\nsearch corp.example\noptions timeout:1\n",
)
REFS = References(
    config_maps={"cm": ConfigMap(data={"a": "1", "not valid": "x"})},
    secrets={"se": Secret(data={"p": b"s3cret"})},
)


def env(entries, *, refs=REFS, **pod):
    made = a_pod(containers=[a_container(env=entries)], **pod)
    return environment(made, made.spec.containers[0], refs, FACTS, "10.244.0.2")


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        pytest.param("$(A)-$(B)", "1-2", id="known"),
        pytest.param("$(NO)", "$(NO)", id="unknown-stays"),
        pytest.param("$$(A)", "$(A)", id="escaped"),
        pytest.param("$A $", "$A $", id="no-reference"),
    ],
)
def test_references_are_expanded(text, expanded):
    assert expand(text, {"A": "1", "B": "2"}) == expanded


@pytest.mark.parametrize(
    ("source", "value"),
    [
        pytest.param({"fieldRef": {"fieldPath": "status.podIP"}}, "10.244.0.2", id="pod-ip"),
        pytest.param({"fieldRef": {"fieldPath": "status.hostIP"}}, "10.0.0.1", id="host-ip"),
        pytest.param({"fieldRef": {"fieldPath": "metadata.labels['app']"}}, "web", id="label"),
        pytest.param({"fieldRef": {"fieldPath": "spec.nodeName"}}, "n1", id="node"),
        pytest.param({"configMapKeyRef": {"name": "cm", "key": "a"}}, "1", id="config-map"),
        pytest.param({"secretKeyRef": {"name": "se", "key": "p"}}, "s3cret", id="secret"),
        pytest.param({"resourceFieldRef": {"resource": "limits.cpu"}}, "4", id="no-limit-is-the-node"),
        pytest.param({"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}, str(8 << 10), id="divided"),
    ],
)
def test_values_from_elsewhere(source, value):
    assert env([{"name": "X", "valueFrom": source}], labels={"app": "web"})["X"] == value


@pytest.mark.parametrize(
    ("source", "message"),
    [
        pytest.param({"configMapKeyRef": {"name": "no", "key": "a"}}, 'configmap "no" not found', id="map"),
        pytest.param(
            {"configMapKeyRef": {"name": "cm", "key": "z"}}, "couldn't find key z in ConfigMap default/cm", id="key"
        ),
        pytest.param({"secretKeyRef": {"name": "no", "key": "a"}}, 'secret "no" not found', id="secret"),
        pytest.param({"fieldRef": {"fieldPath": "spec.nothing"}}, "unsupported fieldPath: spec.nothing", id="field"),
    ],
)
def test_what_is_missing_is_named(source, message):
    with pytest.raises(ConfigProblem, match=message):
        env([{"name": "X", "valueFrom": source}])


def test_optional_and_missing_is_left_out():
    assert "X" not in env([{"name": "X", "valueFrom": {"secretKeyRef": {"name": "no", "key": "k", "optional": True}}}])


def test_later_variables_see_earlier_ones_and_envfrom_skips_bad_names():
    made = a_pod(
        containers=[
            a_container(
                envFrom=[{"prefix": "P_", "configMapRef": {"name": "cm"}}],
                env=[{"name": "B", "value": "$(P_a)!"}, {"name": "C", "value": "$(B)$(D)"}],
            )
        ]
    )
    given = environment(made, made.spec.containers[0], REFS, FACTS, "")
    assert given == {"P_a": "1", "B": "1!", "C": "1!$(D)"}


def a_service(name: str, namespace: str = "default", cluster_ip: str = "10.96.0.9") -> Service:
    ports = [{"port": 80, "name": "http", "protocol": "TCP"}]
    spec = {"clusterIP": cluster_ip, "ports": ports}
    return msgspec.convert({"metadata": {"name": name, "namespace": namespace}, "spec": spec}, Service)


def test_service_variables():
    services = (a_service("my-db"), a_service("other", "elsewhere"), a_service("headless", cluster_ip="None"))
    assert env([], refs=References(services=services)) == {
        "MY_DB_SERVICE_HOST": "10.96.0.9",
        "MY_DB_SERVICE_PORT": "80",
        "MY_DB_SERVICE_PORT_HTTP": "80",
        "MY_DB_PORT": "tcp://10.96.0.9:80",
        "MY_DB_PORT_80_TCP": "tcp://10.96.0.9:80",
        "MY_DB_PORT_80_TCP_PROTO": "tcp",
        "MY_DB_PORT_80_TCP_PORT": "80",
        "MY_DB_PORT_80_TCP_ADDR": "10.96.0.9",
    }


def test_without_links_only_the_api_server_is_told():
    services = (a_service("my-db"), a_service("kubernetes"))
    given = env([], refs=References(services=services), enableServiceLinks=False)
    assert {name.split("_")[0] for name in given} == {"KUBERNETES"}


def test_maps_are_sorted_and_quoted():
    assert format_map({"b": 'x"y', "a": "1\n2"}) == 'a="1\\n2"\nb="x\\"y"'


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        pytest.param(
            {},
            "search default.svc.cluster.local svc.cluster.local cluster.local corp.example\n"
            "nameserver 10.96.0.10\noptions ndots:5\n",
            id="cluster-first",
        ),
        pytest.param(
            {"dnsPolicy": "Default"},
            "search corp.example\nnameserver 1.1.1.1\noptions timeout:1\n",
            id="the-nodes-own",
        ),
        pytest.param(
            {"hostNetwork": True}, "search corp.example\nnameserver 1.1.1.1\noptions timeout:1\n", id="host-network"
        ),
        pytest.param(
            {
                "dnsPolicy": "None",
                "dnsConfig": {
                    "nameservers": ["9.9.9.9"],
                    "searches": ["a"],
                    "options": [{"name": "ndots", "value": "2"}],
                },
            },
            "search a\nnameserver 9.9.9.9\noptions ndots:2\n",
            id="none",
        ),
        pytest.param(
            {"dnsConfig": {"options": [{"name": "ndots", "value": "1"}, {"name": "edns0"}]}},
            "search default.svc.cluster.local svc.cluster.local cluster.local corp.example\n"
            "nameserver 10.96.0.10\noptions ndots:1 edns0\n",
            id="options-replace",
        ),
    ],
)
def test_resolv_conf(spec, text):
    assert resolv_conf(a_pod(**spec), FACTS) == text


def test_hosts_has_the_pods_names_and_aliases():
    pod = a_pod("web-0", subdomain="web", hostAliases=[{"ip": "1.2.3.4", "hostnames": ["x", "y"]}])
    text = hosts_file(pod, FACTS, "10.244.0.2")
    assert "10.244.0.2\tweb-0.web.default.svc.cluster.local\tweb-0\n" in text
    assert text.endswith("1.2.3.4\tx\ty\n")


@pytest.mark.parametrize(
    ("name", "spec", "expected"),
    [
        pytest.param("web", {}, "web", id="its-name"),
        pytest.param("web", {"hostname": "other"}, "other", id="its-hostname"),
        pytest.param("a" * 62 + "-b", {}, "a" * 62, id="cut"),
        pytest.param(
            "web", {"subdomain": "s", "setHostnameAsFQDN": True}, "web.s.default.svc.cluster.local", id="in-full"
        ),
    ],
)
def test_hostname(name, spec, expected):
    assert runtime_hostname(a_pod(name, **spec), FACTS) == expected


def test_a_value_from_a_source_unknown_here_is_a_problem_and_not_an_empty_string():
    with pytest.raises(ConfigProblem, match="no source that this node knows"):
        env([{"name": "A", "valueFrom": {"fileKeyRef": {"volumeName": "v", "path": "p", "key": "k"}}}])
