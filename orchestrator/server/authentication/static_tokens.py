"""Tokens from a file read at start: `token,user,uid,"group1,group2"` per line, as Kubernetes' `--token-auth-file`."""

from __future__ import annotations

import csv
from collections.abc import Iterable

from orchestrator.server.authentication.base import Authenticated, Credentials, User


class BadTokenFile(ValueError):
    """A line of the token file that cannot be used; the text names the line."""


class StaticTokenAuthenticator:
    """Knows exactly the tokens it was given."""

    def __init__(self, users: dict[str, User]) -> None:
        self._users = users

    def authenticate(self, credentials: Credentials) -> Authenticated | None:
        user = self._users.get(credentials.bearer_token) if credentials.bearer_token else None
        return Authenticated(user) if user is not None else None


def parse_token_file(lines: Iterable[str]) -> dict[str, User]:
    """The users by token. Raises `BadTokenFile`."""
    users: dict[str, User] = {}
    for number, row in enumerate(csv.reader(lines), start=1):
        if not row or row[0].startswith("#"):
            continue
        if len(row) < 3 or not row[0] or not row[1]:
            raise BadTokenFile(f"line {number}: expected token,user,uid[,groups]")
        if row[0] in users:
            raise BadTokenFile(f"line {number}: the token appears twice")
        groups = tuple(group.strip() for group in row[3].split(",") if group.strip()) if len(row) > 3 else ()
        users[row[0]] = User(row[1], groups, uid=row[2])
    return users
