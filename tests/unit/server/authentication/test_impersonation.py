"""Who may act as whom."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from orchestrator.machinery.errors import Forbidden, InternalError
from orchestrator.server.authentication.base import User
from orchestrator.server.authentication.impersonation import impersonated, wanted
from orchestrator.server.authorization.chain import build_authorizer
from tests.support.security import ADMIN, SOMEBODY, FakeObjects

AUTHORIZER = build_authorizer(FakeObjects())


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param({}, None, id="not-asked-for"),
        pytest.param({"Impersonate-User": "jane"}, User("jane"), id="a-user"),
        pytest.param(
            [("Impersonate-User", "jane"), ("Impersonate-Group", "a"), ("Impersonate-Group", "b")],
            User("jane", ("a", "b")),
            id="with-groups",
        ),
        pytest.param(
            {"impersonate-user": "jane", "Impersonate-Uid": "u", "Impersonate-Extra-Example.com%2fteam": "x"},
            User("jane", uid="u", extra={"example.com/team": ("x",)}),
            id="with-everything",
        ),
    ],
)
def test_who_is_wanted(headers: object, expected: User | None) -> None:
    assert wanted(CIMultiDict(headers)) == expected  # type: ignore[call-overload]


@pytest.mark.parametrize("header", ["Impersonate-Group", "impersonate-uid", "Impersonate-Extra-Team"])
def test_half_a_wish_is_refused(header: str) -> None:
    with pytest.raises(InternalError, match="without impersonating a user"):
        wanted(CIMultiDict({header: "x"}))


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        pytest.param(User("jane", ("a",)), User("jane", ("a", "system:authenticated")), id="a-user"),
        pytest.param(
            User("system:serviceaccount:ns:bot"),
            User(
                "system:serviceaccount:ns:bot",
                ("system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated"),
            ),
            id="a-service-account-has-its-groups",
        ),
        pytest.param(
            User("system:anonymous"),
            User("system:anonymous", ("system:unauthenticated",)),
            id="nobody-is-unauthenticated",
        ),
    ],
)
def test_an_administrator_may_be_anybody(target: User, expected: User) -> None:
    assert impersonated(ADMIN, target, AUTHORIZER) == expected


@pytest.mark.parametrize(
    ("target", "resource"),
    [
        (User("kubernetes-admin"), "users"),
        (User("system:serviceaccount:ns:bot"), "serviceaccounts"),
    ],
)
def test_somebody_may_not_be_somebody_else(target: User, resource: str) -> None:
    with pytest.raises(Forbidden, match=f'User "jane" cannot impersonate resource "{resource}"'):
        impersonated(SOMEBODY, target, AUTHORIZER)
