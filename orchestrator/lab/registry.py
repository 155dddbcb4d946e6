"""The lab's own image registry (Debian's `docker-registry`): its configuration, and putting images into it."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from orchestrator.lab.archives import Image, digest
from orchestrator.machinery.log import get_logger

logger = get_logger(__name__)

HUB = "https://registry-1.docker.io"
HUB_TIMEOUT_S = 5.0
_TIMEOUT_S = 30.0
_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


class RegistryFailed(Exception):
    """The registry did not take, or not give, what it was asked; the text has the request and the answer."""


def registry_config(*, address: str, directory: Path, remote: str = "") -> str:
    """A configuration without authentication (Debian's default asks for a password). With `remote`, it is that
    registry's pull-through cache, and takes no pushes."""
    proxy = f"proxy:\n  remoteurl: {remote}\n" if remote else ""
    return f"""version: 0.1
log:
  level: warn
  accesslog:
    disabled: true
storage:
  cache:
    blobdescriptor: inmemory
  filesystem:
    rootdirectory: {directory}
http:
  addr: {address}
{proxy}"""


def hub_is_reachable() -> bool:
    """Whether Docker Hub itself answers (it says 401 to a stranger), and not a captive page in its place."""
    try:
        with urllib.request.urlopen(f"{HUB}/v2/", timeout=HUB_TIMEOUT_S) as response:
            headers = response.headers
    except urllib.error.HTTPError as answer:
        with answer:
            headers = answer.headers
    except (OSError, http.client.HTTPException):
        return False
    return "registry" in str(headers.get("Docker-Distribution-Api-Version", ""))


class Registry:
    """A registry by its address, over plain HTTP: it listens only in the lab's network."""

    def __init__(self, address: str) -> None:
        self._base = f"http://{address}"

    def answers(self) -> bool:
        """Whether it is up."""
        try:
            self._request("GET", "/v2/")
        except RegistryFailed:
            return False
        return True

    def has(self, image: str) -> bool:
        """Whether it can give out `image` (`nginx:1.16`)."""
        repository, _, tag = image.rpartition(":")
        path = repository if "/" in repository else f"library/{repository}"
        try:
            self._request("GET", f"/v2/{path}/manifests/{tag}", headers={"Accept": _MANIFEST})
        except RegistryFailed:
            return False
        return True

    def push(self, image: Image) -> None:
        """Put `image` in, skipping what is there already. Safe to repeat."""
        for data in (*(layer.data for layer in image.layers), image.config):
            self._push_blob(image.repository, data)
        self._request(
            "PUT",
            f"/v2/{image.repository}/manifests/{image.tag}",
            body=image.manifest(),
            headers={"Content-Type": _MANIFEST},
        )
        logger.info("lab.image_pushed", image=image.name)

    def _push_blob(self, repository: str, data: bytes) -> None:
        name = digest(data)
        try:
            self._request("HEAD", f"/v2/{repository}/blobs/{name}")
            return
        except RegistryFailed:
            pass  # not there: upload it
        upload = self._request("POST", f"/v2/{repository}/blobs/uploads/", body=b"")["Location"]
        separator = "&" if "?" in upload else "?"
        headers = {"Content-Type": "application/octet-stream"}
        self._request("PUT", f"{upload}{separator}digest={name}", body=data, headers=headers)

    def _request(
        self, method: str, target: str, *, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Mapping[str, str]:
        url = target if target.startswith("http") else self._base + target
        request = urllib.request.Request(url, data=body, headers=dict(headers or {}), method=method)
        # A machine's HTTP proxy has no business between the lab and its own registry.
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with direct.open(request, timeout=_TIMEOUT_S) as response:
                response.read()
                return dict(response.headers)
        except urllib.error.HTTPError as exc:
            with exc:
                raise RegistryFailed(f"{method} {url}: HTTP {exc.code}") from exc
        except (OSError, http.client.HTTPException) as exc:
            raise RegistryFailed(f"{method} {url}: {exc}") from exc
