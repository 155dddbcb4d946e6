"""The API server's process: keys, store, cache, the chains, the socket, and the objects a cluster starts with."""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from orchestrator import pki
from orchestrator.config import BadConfig, Config
from orchestrator.machinery.client import Client
from orchestrator.machinery.clock import Clock
from orchestrator.machinery.kubeconfig import load_kubeconfig
from orchestrator.machinery.log import get_logger
from orchestrator.machinery.systemd import READY, notify
from orchestrator.machinery.tasks import run_together, settle_memory
from orchestrator.machinery.whole_files import write_whole
from orchestrator.pki import Pki
from orchestrator.serve.process import SERVER_LOCK, exclusive, with_advertise_address
from orchestrator.server import bootstrap
from orchestrator.server.admission.chain import build_admission
from orchestrator.server.app import ApiServer, ServerSettings, build_server, serving
from orchestrator.server.authentication.base import Authenticator, User
from orchestrator.server.authentication.bootstrap_token import BootstrapTokenAuthenticator
from orchestrator.server.authentication.certificate import CertificateAuthenticator
from orchestrator.server.authentication.chain import AuthenticatorChain
from orchestrator.server.authentication.service_account import ServiceAccountAuthenticator
from orchestrator.server.authentication.static_tokens import BadTokenFile, StaticTokenAuthenticator, parse_token_file
from orchestrator.server.authorization.chain import build_authorizer, review_rules
from orchestrator.server.nodes import NodeConnections
from orchestrator.server.tokens import SigningKey, TokenIssuer
from orchestrator.server.watch_cache import WatchCache
from orchestrator.store.backups import keep_backed_up
from orchestrator.store.base import Store, Unusable, UnusableForNow
from orchestrator.store.memory import MemoryStore
from orchestrator.store.sqlite import SqliteStore, open_sqlite

logger = get_logger(__name__)

# Certificates are renewed two months before their end: twice a day is often enough to look.
_RENEWAL_EVERY_S = 12 * 3600.0
# A disk that is full is full for a while; whoever makes room should not have to wait for us.
_OPEN_AGAIN_S = 5.0


async def run(config: Config, clock: Clock) -> None:
    """Serve until cancelled. Raises `BadConfig` where starting again would not help."""
    config = with_advertise_address(config)
    async with exclusive(config.run_dir / SERVER_LOCK):
        keys = pki.ensure(config, now=clock.now())
        tls, to_nodes = server_tls(keys), kubelet_tls(keys)
        async with opened_store(config, clock) as store, NodeConnections(to_nodes) as nodes:
            cache = WatchCache(store)
            await cache.start()
            started = asyncio.Event()
            server = composed(config, clock, store, cache, keys, nodes, started)
            async with serving(server, host=config.listen_address, port=config.port, tls=tls):
                await ensure_first_objects(config)
                started.set()
                settle_memory()
                notify(READY)
                logger.info("server.ready", url=config.server_url, objects=cache.revision)
                await run_together(
                    ("renewal", lambda: _keep_renewing(config, clock, keys, tls, to_nodes)),
                    ("backups", lambda: _keep_backed_up(config, clock, store)),
                )


def composed(
    config: Config,
    clock: Clock,
    store: Store,
    cache: WatchCache,
    keys: Pki,
    nodes: NodeConnections,
    started: asyncio.Event,
) -> ApiServer:
    """The server with all its parts; it is ready once `started` is set."""
    dice = random.Random()  # names and suffixes: nothing that must not be guessed
    signing_key = SigningKey(keys.token_key.read_bytes())
    issuer = TokenIssuer(signing_key, cache, clock, server_url=config.server_url)
    links: list[Authenticator] = [CertificateAuthenticator(clock)]
    if config.token_file is not None:
        links.append(StaticTokenAuthenticator(_static_users(config.token_file)))
    links.append(ServiceAccountAuthenticator(signing_key, cache, clock))
    links.append(BootstrapTokenAuthenticator(cache, clock))
    return build_server(
        store=store,
        cache=cache,
        authenticator=AuthenticatorChain(links, clock),
        authorizer=build_authorizer(cache),
        admission=build_admission(),
        clock=clock,
        dice=dice,
        settings=ServerSettings(service_cidr=config.service_cidr, node_ports=config.node_port_range),
        issuer=issuer,
        rules_of=review_rules,
        forward=nodes.forward,
        documents=issuer.documents(),
        has_started=started.is_set,
    )


@asynccontextmanager
async def opened_store(config: Config, clock: Clock) -> AsyncIterator[Store]:
    """The configured store, closed in the end. Raises `BadConfig` for one that must not be used as it is."""
    store: Store
    if config.store == "memory":
        store = MemoryStore()
    else:
        store = await _opened_sqlite(config, clock)
    try:
        yield store
    finally:
        await store.close()


async def _opened_sqlite(config: Config, clock: Clock) -> SqliteStore:
    """The store's file, waited for while its disk is full or fails. Raises `BadConfig` for one that is refused."""
    # Beside the cluster's keys: should the store's whole folder be gone, a disk not mounted say, it is missed here.
    made = config.pki_dir / "store-made"
    while True:
        try:
            if made.exists() and not any(config.store_path.parent.glob("*")):
                raise BadConfig(
                    f"cannot use state_dir '{config.state_dir}': it is a cluster's, but all of its store is gone from "
                    f"'{config.store_path.parent}': mount it, or put a backup in with `wherry store restore BACKUP`; "
                    f"only to begin an empty cluster, remove '{made}'"
                )
            config.store_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            store = await open_sqlite(config.store_path, clock=clock)
            if not made.exists():
                _note_made(made)
            return store
        except UnusableForNow as exc:
            logger.error("store.not_opened", why=str(exc), again_in_s=_OPEN_AGAIN_S)  # noqa: TRY400 - the reason says it
        except Unusable as exc:
            raise BadConfig(str(exc)) from exc
        await asyncio.sleep(_OPEN_AGAIN_S)


def _note_made(made: Path) -> None:
    try:
        write_whole(made, b"The API server has made this cluster's store.\n")
    except OSError as exc:  # a full disk: the next start notes it
        logger.warning("store.not_noted", path=str(made), why=str(exc))


def server_tls(keys: Pki) -> ssl.SSLContext:
    """How clients are met: our certificate with its chain; theirs is asked for, and verified if they have one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(keys.server_cert, keys.server_key)
    context.load_verify_locations(keys.ca_cert)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.set_alpn_protocols(["http/1.1"])
    return context


def kubelet_tls(keys: Pki) -> ssl.SSLContext:
    """How we meet the node agents: they must have a certificate for the address we dial, we show who we are."""
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(keys.ca_cert))
    context.load_cert_chain(keys.kubelet_client_cert, keys.kubelet_client_key)
    return context


async def ensure_first_objects(config: Config) -> None:
    """Write the objects a cluster starts with, through the API like everybody else."""
    addresses = bootstrap.Addresses(
        advertise_address=config.advertise_address,
        port=config.port,
        kubernetes_service=config.first_service_address,
        dns_service=config.dns_address,
        service_cidr=config.service_cidr,
    )
    # The advertised address may be a load balancer's, which does not reach us before we are ready.
    admin = replace(load_kubeconfig(config.admin_kubeconfig), server=config.local_url)
    async with Client(admin, user_agent="wherry-bootstrap") as client:
        await bootstrap.ensure(client, addresses)


async def _keep_renewing(
    config: Config, clock: Clock, keys: Pki, tls: ssl.SSLContext, to_nodes: ssl.SSLContext
) -> None:
    while True:
        await asyncio.sleep(_RENEWAL_EVERY_S)
        try:
            pki.ensure(config, now=clock.now())
        except (OSError, BadConfig):
            # What we have is good for weeks: no reason to stop serving.
            logger.exception("server.not_renewed")
            continue
        # Connections made from here on use the renewed certificates; those there are keep theirs.
        tls.load_cert_chain(keys.server_cert, keys.server_key)
        to_nodes.load_cert_chain(keys.kubelet_client_cert, keys.kubelet_client_key)


async def _keep_backed_up(config: Config, clock: Clock, store: Store) -> None:
    if config.backup_every_s and isinstance(store, SqliteStore):
        folder, every_s = config.backups_path, config.backup_every_s
        await keep_backed_up(store, folder, clock, every_s=every_s, kept=config.backups_kept)


def _static_users(path: Path) -> dict[str, User]:
    try:
        with path.open() as lines:
            return parse_token_file(lines)
    except (OSError, BadTokenFile) as exc:
        raise BadConfig(f"cannot use token_file '{path}': {exc}") from exc
