"""Keys and certificates appear once, stay, and are renewed in time."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from orchestrator import pki
from orchestrator.config import BadConfig, Config
from orchestrator.machinery import certificates
from orchestrator.machinery.certificates import DAY_S
from orchestrator.machinery.kubeconfig import load_kubeconfig

NOW = 1_800_000_000.0


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(state_dir=tmp_path, advertise_address="10.89.0.1", server_names=("api.example", "192.0.2.7"))


def contents(config: Config) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in config.state_dir.rglob("*") if path.is_file()}


def test_everything_is_there_after_the_first_start(config: Config) -> None:
    where = pki.ensure(config, now=NOW)
    server = certificates.subject_of(where.server_cert.read_bytes())
    assert {"10.89.0.1", "127.0.0.1", "10.96.0.1", "192.0.2.7"} <= set(server.ip_addresses)
    assert {
        "localhost",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
        "api.example",
    } <= set(server.dns_names)
    admin = load_kubeconfig(config.admin_kubeconfig)
    assert admin.server == "https://10.89.0.1:6443"
    assert certificates.subject_of(admin.certificate) == pki.ADMIN
    for process, subject in (("controllers", pki.CONTROLLERS), ("scheduler", pki.SCHEDULER), ("proxy", pki.PROXY)):
        assert certificates.subject_of(load_kubeconfig(config.kubeconfig_of(process)).certificate) == subject


def test_secrets_are_for_root_alone(config: Config) -> None:
    pki.ensure(config, now=NOW)
    for path in config.state_dir.rglob("*"):
        if path.suffix in (".key", ".kubeconfig"):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path.name
    assert stat.S_IMODE(config.pki_dir.stat().st_mode) == 0o700


def test_another_start_changes_nothing(config: Config) -> None:
    pki.ensure(config, now=NOW)
    before = contents(config)
    pki.ensure(config, now=NOW + 100 * DAY_S)
    assert contents(config) == before


def test_what_ends_soon_is_renewed_but_never_the_ca_nor_the_token_key(config: Config) -> None:
    where = pki.ensure(config, now=NOW)
    before = contents(config)
    later = NOW + 330 * DAY_S
    pki.ensure(config, now=later)
    after = contents(config)
    kept = {name for name, data in before.items() if after[name] == data}
    assert kept == {"ca.crt", "ca.key", "sa.key"}
    assert certificates.expires_at(where.server_cert.read_bytes()) == later + certificates.CERTIFICATE_LIFETIME_S


def test_a_new_address_gets_a_new_certificate_and_kubeconfigs_that_name_it(config: Config) -> None:
    import dataclasses

    pki.ensure(config, now=NOW)
    certificate = load_kubeconfig(config.admin_kubeconfig).certificate
    moved = dataclasses.replace(config, advertise_address="10.89.0.2")
    where = pki.ensure(moved, now=NOW)
    assert "10.89.0.2" in certificates.subject_of(where.server_cert.read_bytes()).ip_addresses
    admin = load_kubeconfig(config.admin_kubeconfig)
    assert (admin.server, admin.certificate) == ("https://10.89.0.2:6443", certificate)


def test_a_lost_or_broken_file_is_made_again(config: Config) -> None:
    where = pki.ensure(config, now=NOW)
    where.server_key.unlink()
    where.kubelet_client_cert.write_bytes(b"half a certif")
    config.admin_kubeconfig.write_text("nonsense: [")
    pki.ensure(config, now=NOW)
    assert where.server_key.exists()
    assert certificates.subject_of(where.kubelet_client_cert.read_bytes()) == pki.KUBELET_CLIENT
    assert certificates.subject_of(load_kubeconfig(config.admin_kubeconfig).certificate) == pki.ADMIN


def test_a_ca_without_its_key_is_not_replaced(config: Config) -> None:
    where = pki.ensure(config, now=NOW)
    where.ca_key.unlink()
    with pytest.raises(BadConfig, match=r"ca\.key"):
        pki.ensure(config, now=NOW)
