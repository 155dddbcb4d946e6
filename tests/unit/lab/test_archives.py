"""Images built without an engine."""

from __future__ import annotations

import gzip
import io
import json
import tarfile

from orchestrator.lab.archives import LayerWriter, RunSettings, digest, image_of, load_archive


def a_layer(**files):
    writer = LayerWriter()
    for name, content in (files or {"etc/motd": b"hello"}).items():
        writer.file(name, content)
    return writer.finish()


def an_image(name="nginx:1.16", layers=None, **settings):
    run = RunSettings(command=("serve",), **settings)
    return image_of(name, layers or [a_layer()], run, architecture="amd64")


def names_in(layer):
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(layer.data))) as tar:
        return tar.getnames()


def test_a_layers_digests_are_of_the_compressed_and_of_the_plain_tar():
    layer = a_layer()
    assert layer.digest == digest(layer.data)
    assert layer.diff_id == digest(gzip.decompress(layer.data))


def test_equal_content_gives_equal_digests():
    assert a_layer().digest == a_layer().digest


def test_parent_directories_come_first_and_once():
    writer = LayerWriter()
    writer.file("a/b/c", b"1")
    writer.file("a/b/d", b"2")
    assert names_in(writer.finish()) == ["a", "a/b", "a/b/c", "a/b/d"]


def test_the_first_file_of_a_name_stands():
    writer = LayerWriter()
    writer.file("bin/sh", b"real")
    writer.link("bin/sh", "busybox")
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(writer.finish().data))) as tar:
        assert tar.getmember("bin/sh").isfile()


def test_images_without_an_owner_are_the_library_s():
    assert (an_image("nginx:1.16").repository, an_image("nginx:1.16").tag) == ("library/nginx", "1.16")
    assert an_image("gugucone/hello:v2.1").repository == "gugucone/hello"


def test_a_manifest_names_its_parts_by_what_they_are():
    image = an_image()
    manifest = json.loads(image.manifest())
    assert manifest["config"]["digest"] == digest(image.config)
    assert [layer["digest"] for layer in manifest["layers"]] == [layer.digest for layer in image.layers]


def test_a_configuration_says_what_to_run_and_that_it_is_a_stand_in():
    config = json.loads(an_image(ports=(80,), labels={"dev.wherry.stand-in": "true"}).config)["config"]
    assert config["Cmd"] == ["serve"]
    assert config["ExposedPorts"] == {"80/tcp": {}}
    assert config["Labels"] == {"dev.wherry.stand-in": "true"}


def test_an_archive_holds_a_shared_layer_once():
    shared = a_layer()
    one, two = an_image("one:1", [shared]), an_image("two:1", [shared, a_layer(other=b"x")])
    with tarfile.open(fileobj=io.BytesIO(load_archive([one, two]))) as tar:
        names = tar.getnames()
        manifest = json.loads(tar.extractfile("manifest.json").read())
    assert len(names) == len(set(names))
    assert [entry["RepoTags"] for entry in manifest] == [["one:1"], ["two:1"]]
    assert manifest[0]["Layers"][0] == manifest[1]["Layers"][0]
