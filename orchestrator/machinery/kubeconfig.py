"""Kubeconfig files: reading the current context, and writing one."""

from __future__ import annotations

import base64
import binascii
import os
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


class BadKubeconfig(ValueError):
    """The file is not a kubeconfig that names a server; says which file and what is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientConfig:
    """How to reach an API server: its URL, its CA, and credentials (a key pair or a token); PEM bytes."""

    server: str
    ca: bytes = b""
    certificate: bytes = b""
    key: bytes = b""
    token: str = ""

    def ssl_context(self) -> ssl.SSLContext:
        """A context that trusts this CA alone and presents the certificate, if there is one."""
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cadata=self.ca.decode() if self.ca else None)
        self.show_certificate(context)
        return context

    def show_certificate(self, context: ssl.SSLContext) -> None:
        """Have a context present our certificate, if we have one, on connections made from here on."""
        if self.certificate:
            # The ssl module loads key pairs from files only.
            with tempfile.NamedTemporaryFile(prefix="wherry-") as pem:
                os.chmod(pem.name, 0o600)
                pem.write(self.certificate.rstrip() + b"\n" + self.key)
                pem.flush()
                context.load_cert_chain(pem.name)


def load_kubeconfig(path: Path) -> ClientConfig:
    """Read the current context's cluster and user; raises `BadKubeconfig` or `OSError`."""
    try:
        document = yaml.load(path.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as broken:
        raise BadKubeconfig(f"cannot read kubeconfig '{path}': {broken}") from broken
    if not isinstance(document, dict):
        raise BadKubeconfig(f"cannot read kubeconfig '{path}': not a mapping")
    context = _named(document, "contexts", str(document.get("current-context", "")), path).get("context") or {}
    cluster = _named(document, "clusters", str(context.get("cluster", "")), path).get("cluster") or {}
    user = _named(document, "users", str(context.get("user", "")), path).get("user") or {}
    if not cluster.get("server"):
        raise BadKubeconfig(f"cannot use kubeconfig '{path}': the cluster has no server")
    token = str(user.get("token") or "")
    if not token and user.get("tokenFile"):
        token = (path.parent / str(user["tokenFile"])).read_text().strip()
    return ClientConfig(
        server=str(cluster["server"]).rstrip("/"),
        ca=_pem(cluster, "certificate-authority", path),
        certificate=_pem(user, "client-certificate", path),
        key=_pem(user, "client-key", path),
        token=token,
    )


def render_kubeconfig(config: ClientConfig, *, cluster: str = "wherry", user: str = "admin") -> str:
    """The kubeconfig text that `load_kubeconfig` reads back as `config`, with all data embedded."""
    credentials: dict[str, str] = {}
    if config.certificate:
        credentials["client-certificate-data"] = base64.b64encode(config.certificate).decode()
        credentials["client-key-data"] = base64.b64encode(config.key).decode()
    if config.token:
        credentials["token"] = config.token
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": cluster,
                "cluster": {
                    "certificate-authority-data": base64.b64encode(config.ca).decode(),
                    "server": config.server,
                },
            }
        ],
        "users": [{"name": user, "user": credentials}],
        "contexts": [{"name": f"{user}@{cluster}", "context": {"cluster": cluster, "user": user}}],
        "current-context": f"{user}@{cluster}",
    }
    return yaml.safe_dump(document, sort_keys=False)


def _named(document: Mapping[str, Any], section: str, name: str, path: Path) -> Mapping[str, Any]:
    for entry in document.get(section) or ():
        if isinstance(entry, dict) and entry.get("name") == name:
            return entry
    raise BadKubeconfig(f"cannot use kubeconfig '{path}': no entry '{name}' in {section}")


def _pem(entry: Mapping[str, Any], field: str, path: Path) -> bytes:
    data = entry.get(f"{field}-data")
    if data:
        try:
            return base64.b64decode(data, validate=True)
        except binascii.Error as broken:
            raise BadKubeconfig(f"cannot use kubeconfig '{path}': {field}-data is not base64") from broken
    if entry.get(field):
        return (path.parent / str(entry[field])).read_bytes()
    return b""
