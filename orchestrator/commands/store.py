"""`wherry store`: look after the file that holds the cluster's objects."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from orchestrator.config import Config

_SHOWN_MAX = 20


def _of_cluster(function: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--state-dir",
        type=click.Path(path_type=Path, file_okay=False),
        default=Path("/var/lib/wherry"),
        show_default=True,
        help="The control plane's state directory.",
    )(function)


@click.group(name="store")
def command() -> None:
    """Check, back up, restore and repair the store."""


@command.command()
@_of_cluster
def check(state_dir: Path) -> None:
    """Verify every record, and the chain through all changes. The control plane may be running."""
    from orchestrator.store.sqlite_format import FORMAT
    from orchestrator.store.sqlite_open import check

    path = _config(state_dir).store_path
    with _in_words():
        loaded = check(path)
    if loaded is None:
        click.echo(
            f"'{path}' is of an older format, without checksums; the next start of the control plane upgrades it"
        )
        return
    click.echo(f"'{path}' is whole (format {FORMAT})")
    click.echo(f"cluster    {loaded.base.cluster}")
    click.echo(f"records    {len(loaded.current)}")
    click.echo(f"revisions  {loaded.base.compacted} to {loaded.newest}")


@command.command()
@_of_cluster
@click.argument("target", type=click.Path(path_type=Path, dir_okay=False), required=False)
def backup(state_dir: Path, target: Path | None) -> None:
    """Copy the store to TARGET, and verify the copy. The control plane may be running.

    Without TARGET it becomes one of the backups that the control plane makes by itself. It holds every secret of the
    cluster; only its owner can read it.
    """
    from orchestrator.machinery.clock import SystemClock
    from orchestrator.store.backups import name_at
    from orchestrator.store.sqlite_backup import back_up_file
    from orchestrator.store.sqlite_open import check

    config = _config(state_dir)
    with _in_words():
        if check(config.store_path) is None:
            raise click.ClickException("the store is of an older format: start the control plane, which upgrades it")
        if target is None:
            config.backups_path.mkdir(mode=0o700, parents=True, exist_ok=True)
            target = config.backups_path / name_at(SystemClock().now())
        loaded = back_up_file(config.store_path, target)
    click.echo(f"{len(loaded.current)} records of revision {loaded.newest} are in '{target}'")


@command.command()
@_of_cluster
@click.option("--other-cluster", is_flag=True, help="Take the backup though it is of another cluster than the store.")
@click.argument("source", metavar="BACKUP", type=click.Path(path_type=Path, dir_okay=False, exists=True))
def restore(state_dir: Path, other_cluster: bool, source: Path) -> None:
    """Put BACKUP in the store's place; what is there is set aside. The control plane must not be running.

    Everything since the backup is lost. Clients list again, and nodes keep what runs until they have.
    """
    from orchestrator.machinery.clock import SystemClock
    from orchestrator.store.sqlite_backup import restore

    config = _config(state_dir)
    with _in_words(), _alone_with(config):
        loaded, set_aside = restore(
            source, config.store_path, may_change_cluster=other_cluster, now=SystemClock().now()
        )
    click.echo(f"{len(loaded.current)} records are restored; the next revision is {loaded.newest + 1}")
    _tell_of(set_aside)


@command.command()
@_of_cluster
def repair(state_dir: Path) -> None:
    """Keep what is whole of a store that is damaged or has lost its newest part; what was there is set aside.

    The control plane must not be running. Where there is a backup, compare: it may hold more.
    """
    from orchestrator.machinery.clock import SystemClock
    from orchestrator.store.sqlite_backup import repair

    config = _config(state_dir)
    with _in_words(), _alone_with(config):
        done = repair(config.store_path, now=SystemClock().now())
    click.echo(f"{done.kept} records are kept; the next revision is {done.loaded.newest + 1}")
    for key in done.lost[:_SHOWN_MAX]:
        click.echo(f"lost, or older than it was: {key}")
    if len(done.lost) > _SHOWN_MAX:
        click.echo(f"and {len(done.lost) - _SHOWN_MAX} more")
    _tell_of(done.set_aside)


def _tell_of(set_aside: Any) -> None:
    for path in set_aside:
        click.echo(f"what was there is '{path}'")


def _config(state_dir: Path) -> Config:
    from orchestrator.config import Config

    return Config(state_dir=state_dir.absolute())


@contextmanager
def _in_words() -> Iterator[None]:
    from orchestrator.store.base import Unusable

    try:
        yield
    except Unusable as exc:
        raise click.ClickException(str(exc)) from exc
    except OSError as exc:
        raise click.ClickException(f"{exc.strerror}: '{exc.filename}'" if exc.filename else str(exc)) from exc


@contextmanager
def _alone_with(config: Config) -> Iterator[None]:
    from orchestrator.serve.process import SERVER_LOCK, exclusive_now

    if not config.state_dir.is_dir():
        raise click.ClickException(f"there is no state directory '{config.state_dir}'")
    config.store_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with exclusive_now(config.run_dir / SERVER_LOCK):
            yield
    except BlockingIOError as exc:
        raise click.ClickException("the control plane is running: stop it first, with all its processes") from exc
