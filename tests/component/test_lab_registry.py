"""Images built in plain Python, pushed into a real registry."""

from __future__ import annotations

import http.client
import json
import shutil
import subprocess
import time

import pytest
import yaml

from orchestrator.lab.archives import LayerWriter, RunSettings, digest, image_of
from orchestrator.lab.registry import Registry, RegistryFailed, registry_config
from tests.support.relay import ADDRESS, a_free_port

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


def an_image(name: str, content: bytes = b"hello"):
    writer = LayerWriter()
    writer.file("etc/motd", content)
    return image_of(name, [writer.finish()], RunSettings(command=("true",)), architecture="amd64")


@pytest.fixture
def address(tmp_path):
    """A registry on loopback, on an address that other tests do not take ports of."""
    if shutil.which("docker-registry") is None:
        pytest.skip("needs docker-registry")
    address = f"{ADDRESS}:{a_free_port()}"
    config = tmp_path / "registry.yaml"
    config.write_text(registry_config(address=address, directory=tmp_path / "images"))
    with subprocess.Popen(["docker-registry", "serve", str(config)], stderr=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + 20
            while not Registry(address).answers():
                assert time.monotonic() < deadline
                time.sleep(0.05)
            yield address
        finally:
            process.terminate()


def test_what_is_pushed_can_be_pulled(address):
    image = an_image("nginx:1.16")
    registry = Registry(address)
    assert not registry.has("nginx:1.16")
    registry.push(image)
    assert registry.has("nginx:1.16")
    connection = http.client.HTTPConnection(address, timeout=10)
    connection.request("GET", "/v2/library/nginx/manifests/1.16", headers={"Accept": MANIFEST})
    manifest = json.loads(connection.getresponse().read())
    connection.request("GET", f"/v2/library/nginx/blobs/{manifest['layers'][0]['digest']}")
    assert digest(connection.getresponse().read()) == image.layers[0].digest
    connection.close()


def test_pushing_again_and_sharing_layers_is_fine(address):
    registry = Registry(address)
    for name in ("one/image:1", "one/image:1", "two/image:1"):
        registry.push(an_image(name))
    assert registry.has("one/image:1")
    assert registry.has("two/image:1")


def test_a_registry_that_is_not_there_is_told_from_one_that_refuses():
    nobody = Registry("127.0.0.1:1")
    assert not nobody.answers()
    with pytest.raises(RegistryFailed, match="refused"):
        nobody.push(an_image("x:1"))


def test_a_pull_through_cache_says_whose():
    plain = yaml.safe_load(registry_config(address="10.89.0.1:5089", directory="/x"))
    cache = yaml.safe_load(registry_config(address="10.89.0.1:5090", directory="/x", remote="https://example.org"))
    assert "proxy" not in plain
    assert "auth" not in plain
    assert cache["proxy"] == {"remoteurl": "https://example.org"}
