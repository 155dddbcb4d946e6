"""The `wherry` command: its subcommands exist, answer, and refuse in one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from orchestrator import pki
from orchestrator.bootstrap_tokens import BadToken, facts_of, new_token, secret_of, token_id_of
from orchestrator.cli import _COMMANDS, main
from orchestrator.config import Config
from orchestrator.machinery import certificates
from orchestrator.machinery.clock import SystemClock
from orchestrator.machinery.kubeconfig import load_kubeconfig

HASH = "sha256:" + "0" * 64


@pytest.mark.parametrize("name", list(_COMMANDS))
def test_every_command_explains_itself(name: str) -> None:
    result = CliRunner().invoke(main, [name, "--help"])
    assert result.exit_code == 0, result.output
    assert "Usage:" in result.output


def test_help_lists_every_command_without_importing_any() -> None:
    program = (
        "import sys\nfrom click.testing import CliRunner\nfrom orchestrator.cli import main\n"
        "shown = CliRunner().invoke(main, ['--help']).output\n"
        "sys.exit(not all(w in shown for w in ('up', 'down', 'join', 'token')) or 'aiohttp' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--token", "abc", "--ca-hash", HASH], "cannot use --token"),
        (["--token", "abcdef.0123456789abcdef", "--ca-hash", "sha256:12"], "cannot use --ca-hash 'sha256:12'"),
        (["--token", "abcdef.0123456789abcdef", "--ca-hash", HASH, "--node-name", "A_b"], "cannot use --node-name"),
        (["--token", "abcdef.0123456789abcdef", "--ca-hash", HASH, "--server", "http://x"], "it must be https"),
        (["--token", "abcdef.0123456789abcdef", "--ca-hash", HASH], "cannot reach the server"),
    ],
)
def test_join_refuses_in_one_line(arguments: list[str], words: str, tmp_path: Path) -> None:
    server = [] if "--server" in arguments else ["--server", "https://127.0.0.1:1"]
    kubeconfig = ["--kubeconfig", str(tmp_path / "node.kubeconfig")]
    result = CliRunner().invoke(main, ["join", *server, *kubeconfig, *arguments])
    assert result.exit_code == 1
    assert words in result.output
    assert not (tmp_path / "node.kubeconfig").exists()


def test_a_kubeconfig_for_somebody_is_signed_by_the_cluster(tmp_path: Path) -> None:
    where = pki.ensure(Config(state_dir=tmp_path, advertise_address="10.0.0.1"), now=SystemClock().now())
    arguments = ["kubeconfig", "--user", "jane", "--group", "a", "--group", "b", "--state-dir", str(tmp_path)]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    (tmp_path / "jane").write_text(result.output)
    jane = load_kubeconfig(tmp_path / "jane")
    subject = certificates.subject_of(jane.certificate)
    assert (subject.common_name, subject.organizations) == ("jane", ("a", "b"))
    assert certificates.is_issued_by(jane.certificate, where.ca_cert.read_bytes())


def test_certificates_are_listed_with_the_hash_to_join_by(tmp_path: Path) -> None:
    where = pki.ensure(Config(state_dir=tmp_path, advertise_address="10.0.0.1"), now=SystemClock().now())
    result = CliRunner().invoke(main, ["certificates", "--state-dir", str(tmp_path)])
    assert "apiserver.crt" in result.output
    assert certificates.spki_hash(where.ca_cert.read_bytes()) in result.output


def test_a_tokens_secret_shows_everything_but_the_secret_half() -> None:
    token = new_token()
    facts = facts_of(secret_of(token, expires_at=0.0, description="for racks"))
    assert facts is not None
    assert facts.token_id == token_id_of(token)
    assert facts.expiration == "1970-01-01T00:00:00Z"
    assert facts.usages == ("authentication", "signing")
    assert facts.description == "for racks"
    assert facts_of({"type": "Opaque"}) is None


@pytest.mark.parametrize("text", ["", "abcdef", "abcdef.0123456789abcde", "ABCDEF.0123456789abcdef"])
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(BadToken):
        token_id_of(text)
