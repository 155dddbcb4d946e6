"""Acting as somebody else (`kubectl --as`): who may, and who they are then."""

from __future__ import annotations

from collections.abc import Iterator, KeysView
from typing import Protocol
from urllib.parse import unquote

from orchestrator.machinery.errors import InternalError
from orchestrator.server.authentication.base import ANONYMOUS, AUTHENTICATED, UNAUTHENTICATED, User
from orchestrator.server.authorization.base import Attributes, Authorizer
from orchestrator.server.authorization.chain import refusal

_USER, _GROUP, _UID, _EXTRA = "Impersonate-User", "Impersonate-Group", "Impersonate-Uid", "impersonate-extra-"
_ACCOUNT = "system:serviceaccount:"


class Headers(Protocol):
    """The part of aiohttp's multi-dictionary that is used here."""

    def __contains__(self, key: object) -> bool: ...
    def get(self, key: str, default: str) -> str: ...
    def getall(self, key: str, default: list[str]) -> list[str]: ...
    def keys(self) -> KeysView[str]: ...


def wanted(headers: Headers) -> User | None:
    """Whom the request wants to be, or None if it does not. Raises `InternalError` as upstream does for half a wish."""
    if not _is_asked_for(headers):
        return None  # nearly every request
    name = _text(headers.get(_USER, ""))
    groups = tuple(map(_text, headers.getall(_GROUP, [])))
    uid = _text(headers.get(_UID, ""))
    extra: dict[str, tuple[str, ...]] = {}
    for key in headers.keys():  # noqa: SIM118 - a header may occur several times; this is no plain mapping
        if key.lower().startswith(_EXTRA):
            extra[unquote(_text(key[len(_EXTRA) :]).lower())] = tuple(map(_text, headers.getall(key, [])))
    if not name:
        if groups or uid or extra:
            raise InternalError("requested impersonation without impersonating a user")
        return None
    return User(name, groups, uid=uid, extra=extra)


def _is_asked_for(headers: Headers) -> bool:
    for key in headers.keys():  # noqa: SIM110, SIM118 - as above; and this is run for every header there is
        if key[0] in "iI" and key[:12].lower() == "impersonate-":
            return True
    return False


def _text(header: str) -> str:
    """What stands in a header as text that can be shown: its bytes need not be UTF-8."""
    return header.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def impersonated(user: User, target: User, authorizer: Authorizer) -> User:
    """The user to go on as. Raises `Forbidden` unless `user` may impersonate every part of `target`."""
    for attributes in _asked(user, target):
        verdict = authorizer.authorize(attributes)
        if not verdict.allowed:
            raise refusal(attributes, verdict)
    groups = list(target.groups)
    if not groups and target.name.startswith(_ACCOUNT):
        namespace = target.name.removeprefix(_ACCOUNT).partition(":")[0]
        groups = ["system:serviceaccounts", f"system:serviceaccounts:{namespace}"]
    if target.name == ANONYMOUS.name:
        groups = groups or [UNAUTHENTICATED]
    elif AUTHENTICATED not in groups and UNAUTHENTICATED not in groups:
        groups.append(AUTHENTICATED)
    return User(target.name, tuple(groups), uid=target.uid, extra=dict(target.extra))


def _asked(user: User, target: User) -> Iterator[Attributes]:
    if target.name.startswith(_ACCOUNT) and target.name.count(":") == 3:
        namespace, _, name = target.name.removeprefix(_ACCOUNT).partition(":")
        yield Attributes(user, "impersonate", resource="serviceaccounts", namespace=namespace, name=name)
    else:
        yield Attributes(user, "impersonate", resource="users", name=target.name)
    for group in target.groups:
        yield Attributes(user, "impersonate", resource="groups", name=group)
    group = "authentication.k8s.io"
    if target.uid:
        yield Attributes(user, "impersonate", group, "v1", resource="uids", name=target.uid)
    for key, values in target.extra.items():
        for value in values:
            yield Attributes(user, "impersonate", group, "v1", resource="userextras", subresource=key, name=value)
