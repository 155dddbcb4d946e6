"""CertificateSigningRequests: what may be asked for, and who may set what."""

from __future__ import annotations

import base64

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from orchestrator.api.strategies.certificates import CERTIFICATESIGNINGREQUESTS_STRATEGY as STRATEGY
from orchestrator.api.strategies.certificates import validate_signer_name
from tests.support.manifests import changed, created, refusals, status_refusals, updated


def request_pem():
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "system:node:n1")])
    key = ec.generate_private_key(ec.SECP256R1())
    csr = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return base64.b64encode(csr.public_bytes(serialization.Encoding.PEM)).decode()


CSR = {
    "apiVersion": "certificates.k8s.io/v1",
    "kind": "CertificateSigningRequest",
    "metadata": {"name": "node-csr-1"},
    "spec": {
        "request": request_pem(),
        "signerName": "kubernetes.io/kube-apiserver-client-kubelet",
        "usages": ["digital signature", "client auth"],
    },
}
APPROVED = {"type": "Approved", "status": "True", "reason": "AutoApproved", "message": "good"}


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        pytest.param("metadata/name", "Any:Name", [], id="any-name"),
        pytest.param("spec/usages", [], ["spec.usages: Required value"], id="no-usages"),
        pytest.param(
            "spec/usages", ["client auth"] * 2, ['spec.usages[1]: Duplicate value: "client auth"'], id="twice"
        ),
        pytest.param("spec/signerName", "", ["spec.signerName: Required value"], id="no-signer"),
        pytest.param(
            "spec/signerName",
            "kubernetes.io/legacy-unknown",
            [
                'spec.signerName: Invalid value: "kubernetes.io/legacy-unknown": the legacy signerName is not allowed '
                "via this API version"
            ],
            id="legacy-signer",
        ),
        pytest.param(
            "spec/expirationSeconds",
            599,
            [
                "spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 600 seconds (10 "
                "minutes)"
            ],
            id="short",
        ),
        pytest.param(
            "spec/request",
            base64.b64encode(b"hello").decode(),
            ['spec.request: Invalid value: "aGVsbG8=": PEM block type must be CERTIFICATE REQUEST'],
            id="no-request",
        ),
    ],
)
def test_rules(path, value, expected):
    assert refusals(STRATEGY, changed(CSR, path, value)) == expected


def test_usages_are_known():
    (only,) = refusals(STRATEGY, changed(CSR, "spec/usages", ["world domination"]))
    assert only.startswith(
        'spec.usages[0]: Unsupported value: "world domination": supported values: "any", "cert sign"'
    )


def test_a_client_sets_no_status_and_changes_no_request():
    obj = created(STRATEGY, {**CSR, "status": {"conditions": [APPROVED]}})
    assert obj["status"] == {}
    changed_request = updated(STRATEGY, changed(obj, "spec/usages", ["any"]), obj)
    assert changed_request == obj


def test_a_signer_decides_nothing():
    stored = created(STRATEGY, CSR)
    new = {**stored, "status": {"conditions": [APPROVED], "certificate": ""}}
    STRATEGY.prepare_status_update(new, stored)
    assert new["status"] == {"certificate": "", "conditions": []}


def test_a_decision_is_written_through_the_approval_subresource():
    stored = created(STRATEGY, CSR)
    approved = {**stored, "status": {"conditions": [APPROVED]}}
    assert STRATEGY.validate_status_update(approved, stored) == []


def test_decisions_stay_and_exclude_each_other():
    stored = {**created(STRATEGY, CSR), "status": {"conditions": [APPROVED]}}
    denied = {**stored, "status": {"conditions": [APPROVED, {"type": "Denied", "status": "True"}]}}
    assert [str(p) for p in STRATEGY.validate_status_update(denied, stored)] == [
        'status.conditions[1].type: Invalid value: "Denied": Approved and Denied conditions are mutually exclusive'
    ]
    undecided = {**stored, "status": {}}
    assert [str(p) for p in STRATEGY.validate_status_update(undecided, stored)] == [
        'status.conditions: Forbidden: updates may not remove a condition of type "Approved"'
    ]


def test_a_certificate_is_issued_once_and_is_one():
    stored = created(STRATEGY, CSR)
    garbage = {**stored, "status": {"certificate": base64.b64encode(b"x").decode()}}
    assert status_refusals(STRATEGY, garbage, stored) == [
        'status.certificate: Invalid value: "<certificate data>": must contain at least one CERTIFICATE PEM block'
    ]
    issued = {**stored, "status": {"certificate": "QQ=="}}
    assert status_refusals(STRATEGY, {**stored, "status": {"certificate": "Qg=="}}, issued) == [
        "status.certificate: Forbidden: updates may not modify existing certificate content"
    ]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("example.com/signer", []),
        ("example", ["must be a fully qualified domain and path of the form 'example.com/signer-name'"]),
        ("localhost/signer", ["should be a domain with at least two segments separated by dots"]),
    ],
)
def test_signer_names(name, expected):
    found = [problem.message.partition(": ")[2].partition(": ")[2] for problem in validate_signer_name("s", name)]
    assert found == expected
