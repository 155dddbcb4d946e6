"""Kubeconfig files: what is read back is what was written, and refusals name file and field."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.machinery.kubeconfig import BadKubeconfig, ClientConfig, load_kubeconfig, render_kubeconfig


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(
            ClientConfig(server="https://10.0.0.1:6443", ca=b"CA\n", certificate=b"CRT\n", key=b"KEY\n"),
            id="certificate",
        ),
        pytest.param(ClientConfig(server="https://10.0.0.1:6443", ca=b"CA\n", token="abc"), id="token"),
    ],
)
def test_a_written_kubeconfig_reads_back_the_same(config: ClientConfig, tmp_path: Path) -> None:
    path = tmp_path / "admin.kubeconfig"
    path.write_text(render_kubeconfig(config))
    assert load_kubeconfig(path) == config


def test_files_named_in_a_kubeconfig_are_relative_to_it(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_bytes(b"CA")
    (tmp_path / "token").write_text("abc\n")
    path = tmp_path / "config"
    path.write_text(
        """
current-context: c
contexts: [{name: c, context: {cluster: k, user: u}}]
clusters: [{name: k, cluster: {server: "https://h:1/", certificate-authority: ca.crt}}]
users: [{name: u, user: {tokenFile: token}}]
"""
    )
    assert load_kubeconfig(path) == ClientConfig(server="https://h:1", ca=b"CA", token="abc")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("[]", "not a mapping", id="no-mapping"),
        pytest.param("a: [", "cannot read kubeconfig", id="no-yaml"),
        pytest.param("current-context: c", "no entry 'c' in contexts", id="no-context"),
        pytest.param(
            "{current-context: c, contexts: [{name: c, context: {cluster: k, user: u}}], "
            "clusters: [{name: k, cluster: {}}], users: [{name: u, user: {}}]}",
            "the cluster has no server",
            id="no-server",
        ),
        pytest.param(
            "{current-context: c, contexts: [{name: c, context: {cluster: k, user: u}}], "
            "clusters: [{name: k, cluster: {server: s, certificate-authority-data: '***'}}], users: [{name: u}]}",
            "certificate-authority-data is not base64",
            id="no-base64",
        ),
    ],
)
def test_a_bad_kubeconfig_is_refused_with_its_reason(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(BadKubeconfig, match=message) as refusal:
        load_kubeconfig(path)
    assert str(path) in str(refusal.value)
