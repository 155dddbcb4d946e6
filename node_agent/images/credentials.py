"""Credentials for a registry out of a pod's image pull secrets; pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any

from node_agent.runtime.base import Registry
from orchestrator.api import codec
from orchestrator.api.views.configuration import Secret

_DOCKER_HUB = "docker.io"
_HUB_NAMES = ("docker.io", "index.docker.io", "registry-1.docker.io")


def credentials_for(image: str, secrets: Sequence[Secret]) -> Registry | None:
    """The credentials for the image's registry, from `dockerconfigjson` or `dockercfg` secrets; the first that fits."""
    registry = registry_of(image)
    for secret in secrets:
        for server, entry in _entries(secret):
            if _host_of(server) == registry and (found := _registry(server, entry)) is not None:
                return found
    return None


def registry_of(image: str) -> str:
    """The registry's host: what is before the first slash if it looks like one, else Docker Hub."""
    head, slash, _ = image.partition("/")
    return head if slash and ("." in head or ":" in head or head == "localhost") else _DOCKER_HUB


def _entries(secret: Secret) -> Sequence[tuple[str, Any]]:
    try:
        if data := secret.data.get(".dockerconfigjson"):
            return tuple((codec.decode(data).get("auths") or {}).items())
        if data := secret.data.get(".dockercfg"):
            return tuple(codec.decode(data).items())
    except (ValueError, AttributeError):
        return ()  # a broken secret gives no credentials; the registry then says so
    return ()


def _host_of(server: str) -> str:
    host = server.partition("://")[2] or server
    host = host.partition("/")[0]
    return _DOCKER_HUB if host in _HUB_NAMES else host


def _registry(server: str, entry: Any) -> Registry | None:
    if not isinstance(entry, dict):
        return None
    username, password = str(entry.get("username") or ""), str(entry.get("password") or "")
    if not username and entry.get("auth"):
        try:
            username, _, password = base64.b64decode(str(entry["auth"])).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
    return Registry(username=username, password=password, server=server) if username else None
