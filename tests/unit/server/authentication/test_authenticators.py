"""Each sort of credentials proves what it should, and nothing more."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from orchestrator.api.objects import Object
from orchestrator.api.resources import PODS, SECRETS, SERVICEACCOUNTS
from orchestrator.bootstrap_tokens import secret_of
from orchestrator.machinery import certificates
from orchestrator.machinery.clock import timestamp
from orchestrator.machinery.errors import BadRequest, Conflict, Invalid, NotFound, Unauthorized
from orchestrator.server.authentication.base import Credentials, User
from orchestrator.server.authentication.bootstrap_token import BootstrapTokenAuthenticator
from orchestrator.server.authentication.certificate import CertificateAuthenticator
from orchestrator.server.authentication.chain import AuthenticatorChain
from orchestrator.server.authentication.service_account import ServiceAccountAuthenticator
from orchestrator.server.authentication.static_tokens import (
    BadTokenFile,
    StaticTokenAuthenticator,
    parse_token_file,
)
from orchestrator.server.tokens import ISSUER, SigningKey, TokenIssuer, key_set
from tests.support.security import FakeObjects, a_node, a_pod, a_service_account
from tests.support.time import ManualClock

TOKEN = "abcdef.0123456789abcdef"


def a_certificate(*attributes: tuple[str, str]) -> dict[str, Any]:
    return {"subject": tuple((attribute,) for attribute in attributes)}


@pytest.mark.parametrize(
    ("certificate", "expected"),
    [
        pytest.param(
            a_certificate(("organizationName", "system:masters"), ("commonName", "kubernetes-admin")),
            User("kubernetes-admin", ("system:masters",)),
            id="name-and-group",
        ),
        pytest.param(
            a_certificate(("organizationName", "a"), ("organizationName", "b"), ("commonName", "jane")),
            User("jane", ("a", "b")),
            id="several-groups",
        ),
        pytest.param(a_certificate(("organizationName", "system:masters")), None, id="without-a-name-nobody"),
        pytest.param(None, None, id="no-certificate"),
    ],
)
def test_a_certificate_says_who(certificate: dict[str, Any] | None, expected: User | None) -> None:
    assert CertificateAuthenticator().authenticate(Credentials(certificate=certificate)) == expected


class TestChain:
    chain = AuthenticatorChain((CertificateAuthenticator(), StaticTokenAuthenticator({"s3cret": User("bob")})))

    def test_no_credentials_are_nobody(self) -> None:
        assert self.chain.authenticate(Credentials()) is None

    def test_known_users_are_authenticated(self) -> None:
        assert self.chain.authenticate(Credentials(bearer_token="s3cret")) == User("bob", ("system:authenticated",))

    def test_credentials_that_nobody_knows_are_refused_without_telling_why(self) -> None:
        with pytest.raises(Unauthorized) as refused:
            self.chain.authenticate(Credentials(bearer_token="guess"))
        assert refused.value.as_status()["message"] == "Unauthorized"
        assert refused.value.as_status()["code"] == 401

    def test_a_certificate_seen_before_is_the_same_user_unless_a_token_comes_with_it(self) -> None:
        certificate = a_certificate(("organizationName", "a"), ("commonName", "jane"))
        expected = User("jane", ("a", "system:authenticated"))
        chain = AuthenticatorChain((StaticTokenAuthenticator({"s3cret": User("bob")}), CertificateAuthenticator()))
        for _ in range(2):
            assert chain.authenticate(Credentials(certificate=certificate)) == expected
        both = chain.authenticate(Credentials(certificate=certificate, bearer_token="s3cret"))
        assert both == User("bob", ("system:authenticated",))

    def test_a_link_that_refuses_leaves_the_next_one_its_turn(self) -> None:
        class Refuses:
            def authenticate(self, credentials: Credentials) -> User | None:
                raise Unauthorized("not mine")

        chain = AuthenticatorChain((Refuses(), StaticTokenAuthenticator({"s3cret": User("bob")})))
        user = chain.authenticate(Credentials(bearer_token="s3cret"))
        assert user is not None
        assert user.name == "bob"


def test_a_token_file_names_users_and_groups() -> None:
    users = parse_token_file(["# ours", 'tok1,jane,u1,"a,b"', "", "tok2,bob,u2"])
    assert users == {"tok1": User("jane", ("a", "b"), uid="u1"), "tok2": User("bob", (), uid="u2")}


@pytest.mark.parametrize("line", ["tok1,jane", ",jane,u1", "tok1,,u1"])
def test_a_bad_line_of_a_token_file_is_named(line: str) -> None:
    with pytest.raises(BadTokenFile, match="line 2"):
        parse_token_file(["tok,someone,u", line])


class TestBootstrapTokens:
    def of(self, **changes: str) -> BootstrapTokenAuthenticator:
        clock = ManualClock()
        secret = secret_of(TOKEN, expires_at=clock.now() + 100)
        for key, value in changes.items():
            if key == "type":
                secret["type"] = value
            else:
                secret["data"][key.replace("_", "-")] = base64.b64encode(value.encode()).decode()
        return BootstrapTokenAuthenticator(FakeObjects((SECRETS, secret)), clock)

    def test_a_good_one_lets_a_machine_in(self) -> None:
        user = self.of().authenticate(Credentials(bearer_token=TOKEN))
        assert user == User("system:bootstrap:abcdef", ("system:bootstrappers", "system:bootstrappers:wherry:nodes"))

    @pytest.mark.parametrize("token", ["", "abcdef", "ABCDEF.0123456789abcdef", "abcdef.0123456789abcde", TOKEN + "\n"])
    def test_other_forms_are_not_of_its_sort(self, token: str) -> None:
        assert self.of().authenticate(Credentials(bearer_token=token)) is None

    @pytest.mark.parametrize(
        "changes",
        [
            pytest.param({"type": "Opaque"}, id="a-secret-of-another-type"),
            pytest.param({"token_secret": "0000000000000000"}, id="another-secret-half"),
            pytest.param({"token_id": "aaaaaa"}, id="another-id-inside"),
            pytest.param({"usage_bootstrap_authentication": "false"}, id="not-for-authentication"),
            pytest.param({"expiration": timestamp(1_600_000_000)}, id="expired"),
            pytest.param({"expiration": "soon"}, id="nobody-knows-when-it-expires"),
            pytest.param({"auth_extra_groups": "system:masters"}, id="a-group-it-may-not-give"),
        ],
    )
    def test_a_bad_one_is_refused(self, changes: dict[str, str]) -> None:
        with pytest.raises(Unauthorized):
            self.of(**changes).authenticate(Credentials(bearer_token=TOKEN))

    def test_it_stops_working_when_its_time_is_over(self) -> None:
        clock = ManualClock()
        objects = FakeObjects((SECRETS, secret_of(TOKEN, expires_at=clock.now() + 100)))
        authenticator = BootstrapTokenAuthenticator(objects, clock)
        assert authenticator.authenticate(Credentials(bearer_token=TOKEN)) is not None
        clock.time_s += 101
        with pytest.raises(Unauthorized):
            authenticator.authenticate(Credentials(bearer_token=TOKEN))

    def test_a_deleted_one_stops_working_at_once(self) -> None:
        with pytest.raises(Unauthorized):
            BootstrapTokenAuthenticator(FakeObjects(), ManualClock()).authenticate(Credentials(bearer_token=TOKEN))


class TestServiceAccountTokens:
    key = SigningKey(certificates.new_key())

    def setup_method(self) -> None:
        self.clock = ManualClock()
        self.objects = FakeObjects(a_service_account(), a_pod(node="n1"), a_node("n1"))
        self.issuer = TokenIssuer(self.key, self.objects, self.clock)
        self.authenticator = ServiceAccountAuthenticator(self.key, self.objects, self.clock)

    def issue(self, **spec: Any) -> str:
        answer = self.issuer.issue({"spec": spec}, namespace="default", name="default")
        token: str = answer["status"]["token"]
        return token

    def who(self, token: str) -> User | None:
        return self.authenticator.authenticate(Credentials(bearer_token=token))

    def bound(self, **changes: str) -> Object:
        return {"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": "uid-web", **changes}

    def test_a_token_says_which_account_and_pod(self) -> None:
        user = self.who(self.issue(boundObjectRef=self.bound()))
        assert user is not None
        assert user.name == "system:serviceaccount:default:default"
        assert user.groups == ("system:serviceaccounts", "system:serviceaccounts:default")
        assert user.uid == "uid-sa-default"
        assert user.extra["authentication.kubernetes.io/pod-name"] == ("web",)
        assert user.extra["authentication.kubernetes.io/node-name"] == ("n1",)

    def test_the_answer_has_the_defaults_filled_in(self) -> None:
        answer = self.issuer.issue({}, namespace="default", name="default")
        assert answer["spec"] == {"audiences": [ISSUER], "expirationSeconds": 3600}
        assert answer["status"]["expirationTimestamp"] == timestamp(self.clock.now() + 3600)

    def test_it_expires_even_if_it_was_seen_before(self) -> None:
        token = self.issue(expirationSeconds=600)
        assert self.who(token) is not None
        self.clock.time_s += 600
        with pytest.raises(Unauthorized):
            self.who(token)

    def test_a_token_for_others_is_not_for_us(self) -> None:
        with pytest.raises(Unauthorized):
            self.who(self.issue(audiences=["vault"]))

    def test_a_foreign_key_signs_nothing_here(self) -> None:
        foreign = TokenIssuer(SigningKey(certificates.new_key()), self.objects, self.clock)
        token = foreign.issue({}, namespace="default", name="default")["status"]["token"]
        with pytest.raises(Unauthorized):
            self.who(token)

    @pytest.mark.parametrize("token", ["a.b.c", "..", "eyJhbGciOiJub25lIn0.e30."])
    def test_garbage_is_refused(self, token: str) -> None:
        with pytest.raises(Unauthorized):
            self.who(token)

    def test_it_dies_with_its_pod(self) -> None:
        token = self.issue(boundObjectRef=self.bound())
        assert self.who(token) is not None
        self.objects.remove(PODS, "default", "web")
        with pytest.raises(Unauthorized):
            self.who(token)

    def test_a_namesake_of_its_account_does_not_revive_it(self) -> None:
        token = self.issue()
        resource, account = a_service_account()
        account["metadata"]["uid"] = "another"
        self.objects.put(resource, account)
        with pytest.raises(Unauthorized):
            self.who(token)

    def test_it_works_while_its_pod_is_ending(self) -> None:
        token = self.issue(boundObjectRef=self.bound())
        resource, pod = a_pod(node="n1")
        pod["metadata"]["deletionTimestamp"] = timestamp(self.clock.now() + 30)
        self.objects.put(resource, pod)
        assert self.who(token) is not None
        self.clock.time_s += 30 + 61
        with pytest.raises(Unauthorized):
            self.who(token)

    @pytest.mark.parametrize(
        ("spec", "error"),
        [
            pytest.param({"expirationSeconds": 599}, Invalid, id="too-short"),
            pytest.param({"expirationSeconds": (1 << 32) + 1}, Invalid, id="too-long"),
            pytest.param({"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "x"}}, NotFound, id="no-pod"),
            pytest.param({"boundObjectRef": {"kind": "Job", "apiVersion": "v1", "name": "x"}}, BadRequest, id="kind"),
            pytest.param(
                {"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "web", "uid": "old"}},
                Conflict,
                id="another-pod-of-that-name",
            ),
        ],
    )
    def test_what_cannot_be_issued_is_refused(self, spec: Object, error: type[Exception]) -> None:
        with pytest.raises(error):
            self.issue(**spec)

    def test_no_token_without_an_account(self) -> None:
        self.objects.remove(SERVICEACCOUNTS, "default", "default")
        with pytest.raises(NotFound, match='serviceaccounts "default" not found'):
            self.issue()

    def test_another_accounts_pod_cannot_be_bound(self) -> None:
        self.objects.put(*a_pod(account="other"))
        with pytest.raises(BadRequest, match="different serviceaccount name"):
            self.issue(boundObjectRef=self.bound())

    def test_others_can_verify_by_the_published_keys(self) -> None:
        import jwt

        published = jwt.PyJWKSet.from_dict(key_set((self.key,)))
        token = self.issue()
        key = published[jwt.get_unverified_header(token)["kid"]]
        claims = jwt.decode(token, key.key, algorithms=["ES256"], audience=ISSUER, options={"verify_exp": False})
        assert claims["sub"] == "system:serviceaccount:default:default"
