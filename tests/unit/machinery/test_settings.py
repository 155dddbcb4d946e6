"""Settings: which source wins, what is refused and how, and that each one explains itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator.machinery.settings import BadConfig, docstrings, merged


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Something with one setting of each type."""

    state_dir: Path = Path("/var/lib/x")
    """Where things are, 100 % of them."""
    token_file: Path | None = None
    """A file, or none."""
    port: int = 1
    """A number."""
    wait_s: float = 0.5
    """Seconds."""
    names: tuple[str, ...] = ()
    """Several."""


def load(*arguments: str, environment: dict[str, str] | None = None) -> Settings:
    return merged(Settings(), arguments, environment or {}, program="x", prefix="X_")[0]


def test_flags_win_over_environment_over_file_over_defaults(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("port: 2\nwait_s: 2\nnames: [file]\ntoken_file:\n")
    settings = load("--config", str(file), "--port", "4", environment={"X_PORT": "3", "X_WAIT_S": "3", "OTHER": "x"})
    assert settings == Settings(port=4, wait_s=3.0, names=("file",))


def test_lists_paths_and_units_are_read() -> None:
    settings = load("--names", "a, b,", "--token-file", "/t", "--wait", "1.5")
    assert settings == Settings(names=("a", "b"), token_file=Path("/t"), wait_s=1.5)


def test_the_file_may_be_named_by_the_environment(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("port: 2")
    assert load(environment={"X_CONFIG": str(tmp_path / "x.yaml")}).port == 2


def test_switches_are_told_apart_from_settings() -> None:
    settings, given = merged(
        Settings(), ["--cleanup"], {}, program="x", prefix="X_", switches={"cleanup": "c", "d": "d"}
    )
    assert settings == Settings()
    assert given == {"cleanup"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("port: many", "cannot use port 'many': must be a whole number", id="wrong-type"),
        pytest.param("wait_s: x", "cannot use wait_s 'x': must be a number", id="wrong-number"),
        pytest.param("names: 3", "cannot use names '3': must be a list", id="no-list"),
        pytest.param("prot: 1", "there is no setting 'prot'", id="unknown-key"),
        pytest.param("[]", "cannot read configuration|not a mapping", id="no-mapping"),
        pytest.param("a: [", "cannot read configuration", id="no-yaml"),
    ],
)
def test_a_bad_file_is_refused_with_key_value_and_rule(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(text if text != "[]" else "[1]")
    with pytest.raises(BadConfig, match=message):
        load("--config", str(tmp_path / "x.yaml"))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="cannot read configuration"):
        load("--config", str(tmp_path / "none.yaml"))


def test_help_shows_the_docstring_of_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        load("--help")
    shown = capsys.readouterr().out
    assert "100 % of them" in shown
    assert all(text in " ".join(shown.split()) for text in docstrings(Settings).values())
