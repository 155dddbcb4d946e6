"""Each sort of credentials proves what it should, and nothing more."""

from __future__ import annotations

import base64
import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.api.objects import Object
from orchestrator.api.resources import NODES, PODS, SECRETS, SERVICEACCOUNTS, Resource
from orchestrator.bootstrap_tokens import secret_of
from orchestrator.machinery import certificates
from orchestrator.machinery.clock import timestamp
from orchestrator.machinery.errors import BadRequest, Conflict, Invalid, NotFound, Unauthorized
from orchestrator.server.authentication.base import Authenticated, Credentials, User, token_of
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
from tests.support.api import json_values, unhurried
from tests.support.security import FakeObjects, a_node, a_pod, a_service_account
from tests.support.time import ManualClock

TOKEN = "abcdef.0123456789abcdef"
_CLAIMS = (
    *("iss", "sub", "aud", "nbf", "exp", "jti", "kubernetes.io"),
    *("kubernetes.io/namespace", "kubernetes.io/serviceaccount", "kubernetes.io/pod", "kubernetes.io/node"),
)
_ODD_VALUES = json_values | st.sampled_from([10**400, 1e308, -1, True, "", "0", [1], [[]], {"name": 1, "uid": []}])


def a_certificate(*attributes: tuple[str, str]) -> dict[str, Any]:
    return {
        "subject": tuple((attribute,) for attribute in attributes),
        "notBefore": "Nov 14 00:00:00 2023 GMT",
        "notAfter": "Nov 15 00:00:00 2023 GMT",
    }


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
    who = CertificateAuthenticator(ManualClock()).authenticate(Credentials(certificate=certificate))
    assert (who.user if who is not None else None) == expected


@pytest.mark.parametrize(
    ("header", "token"),
    [
        pytest.param("Bearer abc", "abc", id="usual"),
        pytest.param("  bEARER abc def", "abc", id="as-kubernetes-reads-it"),
        pytest.param("Bearer", "", id="no-token"),
        pytest.param("Bearer  abc", "", id="one-space-too-many"),
        pytest.param("Basic abc", "", id="another-scheme"),
        pytest.param("", "", id="no-header"),
    ],
)
def test_a_bearer_token_is_what_follows_the_word(header: str, token: str) -> None:
    assert token_of(header) == token


class TestChain:
    clock = ManualClock()
    links = (CertificateAuthenticator(clock), StaticTokenAuthenticator({"s3cret": User("bob")}))
    chain = AuthenticatorChain(links, clock)

    def test_no_credentials_are_nobody(self) -> None:
        assert self.chain.authenticate(Credentials()) is None

    def test_known_users_are_authenticated(self) -> None:
        who = self.chain.authenticate(Credentials(bearer_token="s3cret"))
        assert who == Authenticated(User("bob", ("system:authenticated",)), (ISSUER,))

    def test_credentials_that_nobody_knows_are_refused_without_telling_why(self) -> None:
        with pytest.raises(Unauthorized) as refused:
            self.chain.authenticate(Credentials(bearer_token="guess"))
        assert refused.value.as_status()["message"] == "Unauthorized"
        assert refused.value.as_status()["code"] == 401

    def test_a_certificate_seen_before_is_the_same_user_unless_a_token_comes_with_it(self) -> None:
        certificate = a_certificate(("organizationName", "a"), ("commonName", "jane"))
        expected = Authenticated(User("jane", ("a", "system:authenticated")), (ISSUER,))
        chain = AuthenticatorChain(tuple(reversed(self.links)), self.clock)
        for _ in range(2):
            assert chain.authenticate(Credentials(certificate=certificate)) == expected
        both = chain.authenticate(Credentials(certificate=certificate, bearer_token="s3cret"))
        assert both is not None
        assert both.user == User("bob", ("system:authenticated",))

    def test_an_expired_client_certificate_stops_working_on_its_open_connection(self) -> None:
        clock = ManualClock()
        chain = AuthenticatorChain((CertificateAuthenticator(clock),), clock)
        certificate = a_certificate(("commonName", "jane"))
        assert chain.authenticate(Credentials(certificate=certificate)) is not None
        clock.time_s += 86_400
        with pytest.raises(Unauthorized):
            chain.authenticate(Credentials(certificate=certificate))

    def test_a_clock_that_is_set_back_is_named_where_a_certificate_is_refused(self) -> None:
        clock = ManualClock()
        clock.time_s -= 2 * 86_400
        certificate = a_certificate(("commonName", "jane"))
        with pytest.raises(Unauthorized, match="is the clock right"):
            CertificateAuthenticator(clock).authenticate(Credentials(certificate=certificate))

    def test_what_says_nothing_of_audiences_is_for_the_api_server_alone(self) -> None:
        own = self.chain.authenticate(Credentials(bearer_token="s3cret", audiences=("vault", ISSUER)))
        assert own is not None
        assert own.audiences == (ISSUER,)
        with pytest.raises(Unauthorized):
            self.chain.authenticate(Credentials(bearer_token="s3cret", audiences=("vault",)))

    def test_a_link_that_refuses_leaves_the_next_one_its_turn(self) -> None:
        class Refuses:
            def authenticate(self, credentials: Credentials) -> Authenticated | None:
                raise Unauthorized("not mine")

        chain = AuthenticatorChain((Refuses(), *self.links), self.clock)
        who = chain.authenticate(Credentials(bearer_token="s3cret"))
        assert who is not None
        assert who.user.name == "bob"


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
        who = self.of().authenticate(Credentials(bearer_token=TOKEN))
        assert who is not None
        assert who.user == User(
            "system:bootstrap:abcdef", ("system:bootstrappers", "system:bootstrappers:wherry:nodes")
        )

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
        links = (ServiceAccountAuthenticator(self.key, self.objects, self.clock),)
        self.authenticator = AuthenticatorChain(links, self.clock)

    def issue(self, **spec: Any) -> str:
        answer = self.issuer.issue({"spec": spec}, namespace="default", name="default")
        token: str = answer["status"]["token"]
        return token

    def who(self, token: str, *audiences: str) -> User | None:
        who = self.authenticator.authenticate(Credentials(bearer_token=token, audiences=audiences))
        self.audiences = who.audiences if who is not None else ()
        return who.user if who is not None else None

    def bound(self, **changes: str) -> Object:
        return {"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": "uid-web", **changes}

    def test_a_token_says_which_account_and_pod(self) -> None:
        user = self.who(self.issue(boundObjectRef=self.bound()))
        assert user is not None
        assert user.name == "system:serviceaccount:default:default"
        assert user.groups == ("system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated")
        assert user.uid == "uid-sa-default"
        assert user.extra["authentication.kubernetes.io/pod-name"] == ("web",)
        assert user.extra["authentication.kubernetes.io/node-name"] == ("n1",)

    def test_the_answer_has_the_defaults_filled_in(self) -> None:
        answer = self.issuer.issue({}, namespace="default", name="default")
        assert answer["spec"] == {"audiences": [ISSUER], "expirationSeconds": 3600}
        assert answer["status"]["expirationTimestamp"] == timestamp(self.clock.now() + 3600)

    @pytest.mark.parametrize(
        ("meant", "refusal", "why"),
        [
            ({"name": "other"}, Invalid, "metadata.name: Invalid value: .* must match the service account name if"),
            ({"namespace": "other"}, Invalid, "metadata.namespace: .* must match the service account namespace if"),
            ({"uid": "other"}, Conflict, r"\(other\) does not match the UID of the service account \(uid-sa-default\)"),
        ],
        ids=["name", "namespace", "uid"],
    )
    def test_none_is_issued_for_what_is_meant_for_another_account(
        self, meant: Object, refusal: type[Exception], why: str
    ) -> None:
        with pytest.raises(refusal, match=why):
            self.issuer.issue({"metadata": meant}, namespace="default", name="default")
        same = {"name": "default", "namespace": "default", "uid": "uid-sa-default"}
        assert "token" in self.issuer.issue({"metadata": same}, namespace="default", name="default")["status"]

    def test_it_expires_even_if_it_was_seen_before(self) -> None:
        token = self.issue(expirationSeconds=600)
        assert self.who(token) is not None
        self.clock.time_s += 600
        with pytest.raises(Unauthorized):
            self.who(token)

    def test_a_token_for_others_is_not_for_us(self) -> None:
        with pytest.raises(Unauthorized):
            self.who(self.issue(audiences=["vault"]))

    @pytest.mark.parametrize(
        ("meant", "shown_to", "fitting"),
        [
            pytest.param(["vault"], ("vault",), ("vault",), id="another-audience"),
            pytest.param(["vault", ISSUER], ("vault", "x"), ("vault",), id="the-common-part"),
            pytest.param(["vault", ISSUER], (), (ISSUER,), id="the-api-server"),
            pytest.param([ISSUER], ("vault",), (), id="not-for-vault"),
        ],
    )
    def test_the_status_of_a_review_says_which_audiences_a_token_is_for(
        self, meant: list[str], shown_to: tuple[str, ...], fitting: tuple[str, ...]
    ) -> None:
        token = self.issue(audiences=meant)
        if fitting:
            self.who(token, *shown_to)
            assert self.audiences == fitting
        else:
            with pytest.raises(Unauthorized):
                self.who(token, *shown_to)

    @given(st.dictionaries(st.sampled_from(_CLAIMS), _ODD_VALUES, min_size=1, max_size=3))
    @unhurried
    def test_odd_claim_types_behind_a_right_signature_are_a_401(self, odd: dict[str, Any]) -> None:
        self.setup_method()
        private = {"namespace": "default", "serviceaccount": {"name": "default", "uid": "uid-sa-default"}}
        claims = {"iss": ISSUER, "sub": "x", "aud": [ISSUER], "nbf": 0, "exp": 1 << 40, "jti": "j"}
        claims["kubernetes.io"] = private
        for path, value in odd.items():
            outer, _, inner = path.partition("/")
            if inner:
                private[inner] = value
            else:
                claims[outer] = value
        token = self.key.sign_bytes(json.dumps(claims).encode())
        with contextlib.suppress(Unauthorized):
            assert isinstance(self.who(token), User)

    @pytest.mark.parametrize("token", ["a\udcff.b.c", "é.b.c", "a.b.c\udcff"])
    def test_a_token_with_bytes_beyond_ascii_is_a_401(self, token: str) -> None:
        with pytest.raises(Unauthorized):
            self.who(token)

    @given(st.binary(max_size=40), st.binary(max_size=40))
    @unhurried
    def test_odd_headers_are_a_401(self, header: bytes, signature: bytes) -> None:
        self.setup_method()
        parts = [base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (header, b"{}", signature)]
        with pytest.raises(Unauthorized):
            self.who(".".join(parts))

    def test_a_header_nested_without_end_is_a_401(self) -> None:
        deep = base64.urlsafe_b64encode(b'{"alg":' + b"[" * 60_000).decode().rstrip("=")
        with pytest.raises(Unauthorized):
            self.who(f"{deep}.e30.{'A' * 86}")

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

    @pytest.mark.parametrize(
        ("resource", "namespace", "reference"),
        [
            pytest.param(SECRETS, "default", {"kind": "Secret", "name": "s"}, id="a-secret"),
            pytest.param(NODES, "", {"kind": "Node", "name": "n1"}, id="a-node"),
        ],
    )
    def test_it_dies_with_whatever_it_is_bound_to(
        self, resource: Resource, namespace: str, reference: dict[str, str]
    ) -> None:
        self.objects.put(SECRETS, {"metadata": {"name": "s", "namespace": "default", "uid": "uid-s"}})
        token = self.issue(boundObjectRef={"apiVersion": "v1", **reference})
        assert self.who(token) is not None
        self.objects.remove(resource, namespace, reference["name"])
        with pytest.raises(Unauthorized):
            self.who(token)

    def test_a_pods_token_outlives_its_node(self) -> None:
        token = self.issue(boundObjectRef=self.bound())
        self.objects.remove(NODES, "", "n1")
        assert self.who(token) is not None

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
