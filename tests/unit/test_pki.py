"""Keys and certificates appear once, stay, and are renewed in time."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable
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


@pytest.mark.parametrize("what", ["server", "kubelet_client"])
def test_a_renewal_that_was_interrupted_between_its_files_is_made_again(config: Config, what: str) -> None:
    where = pki.ensure(config, now=NOW)
    key = getattr(where, f"{what}_key")
    key.write_bytes(certificates.new_key())  # the new key is there, the new certificate is not
    pki.ensure(config, now=NOW)
    assert certificates.belong_together(getattr(where, f"{what}_cert").read_bytes(), key.read_bytes())


@pytest.mark.parametrize("later", [pytest.param(0.0, id="the-first-start"), pytest.param(330 * DAY_S, id="a-renewal")])
def test_whatever_write_it_is_killed_before_the_next_start_puts_all_right(config: Config, later: float) -> None:
    if later:
        pki.ensure(config, now=NOW)
    killed_before = 0
    while _killed_before_rename(killed_before, lambda: pki.ensure(config, now=NOW + later)):
        where = pki.ensure(config, now=NOW + later)
        for name in ("ca", "server", "kubelet_client"):
            cert, key = getattr(where, f"{name}_cert").read_bytes(), getattr(where, f"{name}_key").read_bytes()
            assert certificates.belong_together(cert, key), f"{name}, killed before write {killed_before}"
        for path in config.state_dir.rglob("*"):
            if path.is_file() and not (later and path.name in ("ca.crt", "ca.key", "sa.key")):
                path.unlink()
        if later:
            pki.ensure(config, now=NOW)
        killed_before += 1
    assert killed_before > 6


def _killed_before_rename(count: int, work: Callable[[], object]) -> bool:
    """Do the work in a child that is gone at once when it is about to put its file number `count` in its place."""
    child = os.fork()
    if child == 0:
        seen = 0

        def hook(event: str, _: object) -> None:
            nonlocal seen
            if event == "os.rename":
                if seen == count:
                    os._exit(9)
                seen += 1

        try:
            sys.addaudithook(hook)
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
