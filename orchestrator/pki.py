"""The cluster's keys and certificates as files: made at the first start, renewed when their end comes near.

Safe to repeat and to interrupt: every file appears whole, a missing or outdated one is made again, the CA and the key
that signs tokens are never replaced.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from orchestrator.config import BadConfig, Config
from orchestrator.machinery import certificates
from orchestrator.machinery.certificates import DAY_S, Authority, BadCertificate, Issued, Subject
from orchestrator.machinery.kubeconfig import BadKubeconfig, ClientConfig, load_kubeconfig, render_kubeconfig
from orchestrator.machinery.whole_files import write_private, write_whole

_RENEW_BEFORE_S = 60 * DAY_S  # a machine that is restarted six times a year never serves an expired certificate
_SERVICE_NAMES = ("kubernetes", "kubernetes.default", "kubernetes.default.svc")

ADMIN = Subject(common_name="kubernetes-admin", organizations=("system:masters",))
CONTROLLERS = Subject(common_name="system:kube-controller-manager")
SCHEDULER = Subject(common_name="system:kube-scheduler")
PROXY = Subject(common_name="system:kube-proxy", organizations=("system:node-proxier",))
KUBELET_CLIENT = Subject(common_name="kube-apiserver-kubelet-client", organizations=("system:masters",))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pki:
    """Where everything lies."""

    ca_cert: Path
    ca_key: Path
    server_cert: Path
    server_key: Path
    kubelet_client_cert: Path
    kubelet_client_key: Path
    token_key: Path


def paths(config: Config) -> Pki:
    """Where the files are, whether or not they exist already."""
    pki = config.pki_dir
    return Pki(
        ca_cert=pki / "ca.crt",
        ca_key=pki / "ca.key",
        server_cert=pki / "apiserver.crt",
        server_key=pki / "apiserver.key",
        kubelet_client_cert=pki / "apiserver-kubelet-client.crt",
        kubelet_client_key=pki / "apiserver-kubelet-client.key",
        token_key=pki / "sa.key",
    )


def why_renew(pair: Issued | None, wanted: Subject, ca_pem: bytes, *, now: float) -> str | None:
    """Why the certificate and its key cannot be kept, or None if they can."""
    if pair is None:
        return "missing"
    cert_pem = pair.cert_pem
    try:
        # They are two files: a renewal that was interrupted between them leaves the one's key beside the other.
        if not certificates.belong_together(cert_pem, pair.key_pem):
            return "apart from its key"
        if not certificates.is_issued_by(cert_pem, ca_pem):
            return "issued by another CA"
        if certificates.subject_of(cert_pem) != wanted:
            return "for other names"
        if certificates.expires_at(cert_pem) - now < _RENEW_BEFORE_S:
            return "near its end"
    except BadCertificate:
        return "unreadable"
    return None


def server_subject(config: Config) -> Subject:
    """Whom the API server's certificate is for: every name and address it is reached by."""
    addresses = ["127.0.0.1", config.first_service_address, config.advertise_address]
    names = ["localhost", *_SERVICE_NAMES, f"{_SERVICE_NAMES[-1]}.{config.cluster_domain}", socket.gethostname()]
    for extra in config.server_names:
        (addresses if _is_address(extra) else names).append(extra)
    if config.listen_address not in ("0.0.0.0", "::"):
        addresses.append(config.listen_address)
    return Subject(
        common_name="kube-apiserver",
        dns_names=tuple(dict.fromkeys(names)),
        ip_addresses=tuple(dict.fromkeys(addresses)),
    )


def ensure(config: Config, *, now: float) -> Pki:
    """Make whatever is missing or has to be renewed, kubeconfigs included. `config.advertise_address` must be set."""
    where = paths(config)
    config.pki_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    if where.ca_cert.exists() and not where.ca_key.exists():
        raise BadConfig(f"cannot use '{where.ca_cert}': its key '{where.ca_key}' is missing")
    if not where.ca_cert.exists():
        pair = certificates.new_authority("wherry", now=now)
        write_private(where.ca_key, pair.key_pem)
        write_whole(where.ca_cert, pair.cert_pem)
    if not where.token_key.exists():
        write_private(where.token_key, certificates.new_key())
    try:
        authority = Authority(Issued(where.ca_cert.read_bytes(), where.ca_key.read_bytes()))
    except BadCertificate as exc:
        raise BadConfig(f"cannot use '{where.ca_cert}' with '{where.ca_key}': {exc}") from exc

    server = server_subject(config)
    _ensure_pair(
        where.server_cert,
        where.server_key,
        server,
        authority,
        lambda: authority.issue(server, now=now, server=True),
        now,
    )
    _ensure_pair(
        where.kubelet_client_cert,
        where.kubelet_client_key,
        KUBELET_CLIENT,
        authority,
        lambda: authority.issue(KUBELET_CLIENT, now=now, client=True),
        now,
    )
    for path, subject, url, user in (
        (config.kubeconfig_of("controllers"), CONTROLLERS, config.local_url, "controllers"),
        (config.kubeconfig_of("scheduler"), SCHEDULER, config.local_url, "scheduler"),
        (config.kubeconfig_of("proxy"), PROXY, config.server_url, "proxy"),
        (config.admin_kubeconfig, ADMIN, config.server_url, "admin"),
    ):
        _ensure_kubeconfig(path, subject, url, user, authority, now=now)
    return where


def _ensure_pair(
    cert: Path, key: Path, wanted: Subject, authority: Authority, issue: Callable[[], Issued], now: float
) -> None:
    present = Issued(cert.read_bytes(), key.read_bytes()) if cert.exists() and key.exists() else None
    if why_renew(present, wanted, authority.cert_pem, now=now) is None:
        return
    pair = issue()
    write_private(key, pair.key_pem)
    write_whole(cert, pair.cert_pem)


def _ensure_kubeconfig(path: Path, subject: Subject, url: str, user: str, authority: Authority, *, now: float) -> None:
    try:
        present = load_kubeconfig(path)
    except (BadKubeconfig, OSError):
        present = ClientConfig(server="")
    wanted = replace(present, server=url, ca=authority.cert_pem, token="")
    pair = Issued(present.certificate, present.key) if present.certificate else None
    outdated = why_renew(pair, subject, authority.cert_pem, now=now) is not None
    if not outdated and wanted == present:
        return
    if outdated:
        pair = authority.issue(subject, now=now, client=True)
        wanted = replace(wanted, certificate=pair.cert_pem, key=pair.key_pem)
    write_private(path, render_kubeconfig(wanted, user=user).encode())


def _is_address(text: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, text)
        except OSError:
            continue
        return True
    return False
