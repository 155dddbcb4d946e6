"""`wherry-orchestrator` as it is started on a machine: TLS, identities, joining, and what survives a SIGKILL."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from orchestrator.api.resources import CONFIGMAPS, NAMESPACES, NODES, PODS, SECRETS, SERVICEACCOUNTS, SERVICES
from orchestrator.api.views.meta import MetaView
from orchestrator.bootstrap_tokens import NAMESPACE, new_token, secret_of
from orchestrator.joining import CannotJoin, Join, has_joined, join_cluster
from orchestrator.lab.observed import is_alive
from orchestrator.machinery.certificates import new_authority, spki_hash
from orchestrator.machinery.client import Client
from orchestrator.machinery.clock import SystemClock
from orchestrator.machinery.errors import ApiError, Forbidden, NotFound, Unauthorized, Unreachable
from orchestrator.machinery.kubeconfig import ClientConfig, load_kubeconfig
from orchestrator.supervisor import PROCESSES
from tests.support.simulation import ready_node


@dataclass
class ControlPlane:
    """A running supervisor and its state directory."""

    state: Path
    port: int
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def admin(self) -> ClientConfig:
        return load_kubeconfig(self.state / "admin.kubeconfig")

    def pid_of(self, name: str) -> int:
        """0 while nobody has noted it: before the first start, and between an end and the next start."""
        try:
            return int((self.state / "run" / f"{name}.pid").read_text() or "0")
        except FileNotFoundError:
            return 0


@contextmanager
def a_port_of_our_own() -> Iterator[int]:
    """A port that nobody else is given, also while the API server is not there: it is bound, and not listened on."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # or the API server could not bind it beside us
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


def _start(state: Path, port: int) -> subprocess.Popen[bytes]:
    users = state / "tokens.csv"
    users.write_text('s3cret,jane,u1,"readers"\n')
    settings = {
        "state-dir": str(state),
        "port": str(port),
        "advertise-address": "127.0.0.1",
        "listen-address": "127.0.0.1",
        "controllers-port": "0",
        "scheduler-port": "0",
        "token-file": str(users),
    }
    flags = [part for key, value in settings.items() for part in (f"--{key}", value)]
    with (state / "log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "orchestrator", *flags], stdout=log, stderr=log, cwd=Path.cwd(), env=dict(os.environ)
        )


@contextmanager
def a_control_plane(state: Path) -> Iterator[ControlPlane]:
    with a_port_of_our_own() as port:
        plane = ControlPlane(state, port, _start(state, port))
        try:
            asyncio.run(_until(lambda: _is_ready(plane)))
            yield plane
        finally:
            plane.process.terminate()
            plane.process.wait(timeout=30)


@pytest.fixture(scope="module")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with a_control_plane(tmp_path_factory.mktemp("control-plane")) as plane:
        yield plane


@pytest.fixture
async def admin(control_plane: ControlPlane) -> AsyncIterator[Client]:
    async with Client(control_plane.admin()) as client:
        yield client


async def _until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await holds():  # noqa: ASYNC110 - other processes cannot set our events
            await asyncio.sleep(0.05)


async def _is_ready(plane: ControlPlane) -> bool:
    """Whether all processes were started, the first objects are there, and the controllers work."""
    if not (plane.state / "admin.kubeconfig").exists() or not all(plane.pid_of(name) for name in PROCESSES):
        return False
    try:
        async with Client(plane.admin()) as client:
            await client.request("GET", "/readyz")
            await client.get(SERVICEACCOUNTS, "default", "default", into=MetaView)
    except (ApiError, Unreachable):
        return False
    return True


async def test_the_first_objects_are_there(admin: Client) -> None:
    namespaces = await admin.list(NAMESPACES, into=MetaView)
    names = {namespace.metadata.name for namespace in namespaces.items}
    assert names >= {"default", "kube-system", "kube-public", "kube-node-lease"}
    kubernetes = await admin.get(SERVICES, "kubernetes", "default", into=dict)
    assert kubernetes["spec"]["clusterIP"] == "10.96.0.1"
    dns = await admin.get(SERVICES, "kube-dns", "kube-system", into=dict)
    assert dns["spec"]["clusterIP"] == "10.96.0.10"


@pytest.mark.parametrize("name", ["default", "kube-system", "kube-public", "kube-node-lease"])
async def test_the_clusters_own_namespaces_cannot_be_deleted(admin: Client, name: str) -> None:
    with pytest.raises(Forbidden) as refused:
        await admin.delete(NAMESPACES, name)
    assert refused.value.message == f'namespaces "{name}" is forbidden: this namespace may not be deleted'


async def test_every_namespace_has_the_ca(admin: Client, control_plane: ControlPlane) -> None:
    async def has_it() -> bool:
        try:
            copy = await admin.get(CONFIGMAPS, "kube-root-ca.crt", "kube-public", into=dict)
        except NotFound:
            return False
        assert copy["data"]["ca.crt"].encode() == control_plane.admin().ca
        return True

    await _until(has_it)


@pytest.mark.parametrize(
    ("path", "status"),
    [("/healthz", 200), ("/livez", 200), ("/readyz", 200), ("/version", 200), ("/api", 403), ("/metrics", 403)],
)
async def test_nobody_sees_more_than_the_health_and_the_version(
    control_plane: ControlPlane, path: str, status: int
) -> None:
    tls = ClientConfig(server=control_plane.url, ca=control_plane.admin().ca).ssl_context()
    async with aiohttp.ClientSession() as session, session.get(control_plane.url + path, ssl=tls) as response:
        await response.read()
        assert response.status == status
        if status == 403:
            body = await response.json()
            assert (body["kind"], body["reason"]) == ("Status", "Forbidden")
            assert body["message"] == f'forbidden: User "system:anonymous" cannot get path "{path}"'


async def test_a_token_that_nobody_knows_is_refused_even_for_the_health(control_plane: ControlPlane) -> None:
    config = ClientConfig(server=control_plane.url, ca=control_plane.admin().ca, token="guess")
    async with Client(config) as client:
        with pytest.raises(Unauthorized):
            await client.request("GET", "/healthz")
    # The server ends such a connection: whoever leaves the client finds it gone, not about to go.
    assert all(sock.fileno() < 0 for sock in client._sockets)


async def test_a_certificate_of_another_ca_does_not_get_in(control_plane: ControlPlane, tmp_path: Path) -> None:
    from orchestrator.machinery.certificates import Authority, Subject

    foreign = Authority(new_authority("wherry", now=SystemClock().now()))
    subject = Subject(common_name="kubernetes-admin", organizations=("system:masters",))
    pair = foreign.issue(subject, now=SystemClock().now(), client=True)
    config = ClientConfig(
        server=control_plane.url, ca=control_plane.admin().ca, certificate=pair.cert_pem, key=pair.key_pem
    )
    async with Client(config) as client:
        with pytest.raises((Unreachable, Unauthorized)):
            await client.list(NAMESPACES, into=MetaView)


def test_old_tls_is_not_spoken(control_plane: ControlPlane) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # asking for it is the test
        context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.minimum_version = ssl.TLSVersion.TLSv1
    with (
        socket.create_connection(("127.0.0.1", control_plane.port)) as plain,
        pytest.raises((ssl.SSLError, ConnectionError)),
    ):
        context.wrap_socket(plain)


async def test_a_static_token_is_known_and_may_nothing_yet(control_plane: ControlPlane) -> None:
    config = ClientConfig(server=control_plane.url, ca=control_plane.admin().ca, token="s3cret")
    async with Client(config) as client:
        assert b"v1.36" in await client.request("GET", "/version")
        with pytest.raises(Forbidden) as refused:
            await client.list(PODS, "default", into=MetaView)
    assert refused.value.message == (
        'pods is forbidden: User "jane" cannot list resource "pods" in API group "" in the namespace "default"'
    )


async def test_a_service_account_gets_a_token_and_is_known_by_it(admin: Client, control_plane: ControlPlane) -> None:
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 600}}
    answer = await admin.create(SERVICEACCOUNTS, request, "default", into=dict, name="default", subresource="token")
    config = ClientConfig(server=control_plane.url, ca=control_plane.admin().ca, token=answer["status"]["token"])
    async with Client(config) as client:
        assert b"ES256" in await client.request("GET", "/openid/v1/jwks")
        with pytest.raises(Forbidden, match="system:serviceaccount:default:default"):
            await client.list(SECRETS, "default", into=MetaView)


async def _token(admin: Client) -> str:
    token = new_token()
    secret = secret_of(token, expires_at=SystemClock().now() + 600)
    await admin.create(SECRETS, secret, NAMESPACE, into=bytes)
    return token


async def test_a_machine_joins_and_is_that_node_only(
    admin: Client, control_plane: ControlPlane, tmp_path: Path
) -> None:
    join = Join(
        server=control_plane.url,
        token=await _token(admin),
        ca_hash=spki_hash(control_plane.admin().ca),
        node_name="n1",
        kubeconfig=tmp_path / "n1.kubeconfig",
    )
    assert not has_joined(join, now=SystemClock().now())
    await join_cluster(join)
    assert has_joined(join, now=SystemClock().now())
    assert (tmp_path / "n1.kubeconfig").stat().st_mode & 0o077 == 0
    async with Client(load_kubeconfig(join.kubeconfig)) as node:
        await node.create(NODES, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}}, into=MetaView)
        with pytest.raises(Forbidden, match='node "n1" is not allowed to modify node "n2"'):
            await node.create(NODES, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n2"}}, into=MetaView)
        with pytest.raises(Forbidden):
            await node.list(SECRETS, "kube-system", into=MetaView)
        assert (await node.list(PODS, into=MetaView, field_selector="spec.nodeName=n1")).items == ()
    await admin.delete(NODES, "n1")


async def test_a_machine_does_not_join_as_a_node_that_is_well_or_as_a_service(
    admin: Client, control_plane: ControlPlane, tmp_path: Path
) -> None:
    join = Join(
        server=control_plane.url,
        token=await _token(admin),
        ca_hash=spki_hash(control_plane.admin().ca),
        node_name="n7",
        kubeconfig=tmp_path / "n7.kubeconfig",
    )
    await admin.create(NODES, ready_node("n7"), into=MetaView)
    await admin.update(NODES, "n7", ready_node("n7"), into=MetaView, subresource="status")
    with pytest.raises(CannotJoin, match='a Node with name "n7" and status "Ready" already exists in the cluster'):
        await join_cluster(join)
    assert not join.kubeconfig.exists()
    await admin.delete(NODES, "n7")
    await join_cluster(join)
    with pytest.raises(CannotJoin, match="services have such names"):
        await join_cluster(dataclasses.replace(join, node_name="kubernetes.default.svc"))


async def test_a_machine_does_not_join_somebody_elses_cluster(
    admin: Client, control_plane: ControlPlane, tmp_path: Path
) -> None:
    other = new_authority("wherry", now=SystemClock().now())
    join = Join(
        server=control_plane.url,
        token=await _token(admin),
        ca_hash=spki_hash(other.cert_pem),
        node_name="n1",
        kubeconfig=tmp_path / "n1.kubeconfig",
    )
    with pytest.raises(CannotJoin, match="no certificate authority with hash"):
        await join_cluster(join)


async def test_a_machine_does_not_join_with_a_deleted_token(
    admin: Client, control_plane: ControlPlane, tmp_path: Path
) -> None:
    join = Join(
        server=control_plane.url,
        token=new_token(),
        ca_hash=spki_hash(control_plane.admin().ca),
        node_name="n1",
        kubeconfig=tmp_path / "n1.kubeconfig",
    )
    with pytest.raises(CannotJoin, match="refused: Unauthorized"):
        await join_cluster(join)


@pytest.mark.parametrize("process", ["api-server", "controllers", "scheduler"])
async def test_a_killed_process_comes_back_and_nothing_acknowledged_is_lost(
    admin: Client, control_plane: ControlPlane, process: str
) -> None:
    before = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"before-{process}"}}
    await admin.create(CONFIGMAPS, before, "default", into=MetaView)

    async def is_there() -> bool:
        return control_plane.pid_of(process) != 0

    await _until(is_there)  # it may be on its way back from an end of its own
    killed = control_plane.pid_of(process)
    os.kill(killed, signal.SIGKILL)

    async def is_back() -> bool:
        if control_plane.pid_of(process) in (0, killed):
            return False
        try:
            # Asked after the new process was seen: it is not the killed one that answers.
            await admin.get(CONFIGMAPS, f"before-{process}", "default", into=MetaView)
        except Unreachable:
            return False
        return True

    await _until(is_back)
    # The controllers work again: a new namespace gets what every namespace has.
    name = f"after-{process}"
    await admin.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}, into=MetaView)

    async def has_its_account() -> bool:
        try:
            await admin.get(SERVICEACCOUNTS, "default", name, into=MetaView)
        except NotFound:
            return False
        return True

    await _until(has_its_account)


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Impersonate-User": "jane"}, 403),
        ({"Impersonate-User": "jane", "Impersonate-Group": "system:masters"}, 200),
        ({"Impersonate-User": "system:kube-scheduler"}, 200),
        ({"Impersonate-Group": "system:masters"}, 500),
    ],
)
async def test_an_administrator_may_act_as_somebody_else(
    control_plane: ControlPlane, headers: dict[str, str], code: int
) -> None:
    url = control_plane.url + PODS.path("default")
    tls = control_plane.admin().ssl_context()
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers, ssl=tls) as response:
        await response.read()
        assert response.status == code


def test_a_killed_supervisor_takes_its_processes_along_and_a_new_one_takes_over(tmp_path: Path) -> None:
    with a_control_plane(tmp_path) as plane:
        before = [plane.pid_of(name) for name in PROCESSES]
        plane.process.kill()
        plane.process.wait(timeout=30)
        plane.process = _start(tmp_path, plane.port)

        async def is_taken_over() -> bool:
            return not any(is_alive(pid) for pid in before) and await _is_ready(plane)

        asyncio.run(_until(is_taken_over))
