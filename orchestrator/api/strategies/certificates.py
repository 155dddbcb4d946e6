"""CertificateSigningRequests: a well-formed request, known usages, and who may set which part of the status."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from orchestrator.api import names
from orchestrator.api.doors import Part
from orchestrator.api.objects import Object
from orchestrator.api.problems import Problem, duplicate, forbidden, invalid, not_supported, required, too_long
from orchestrator.api.strategies.base import Asker, Strategy
from orchestrator.api.strategies.rules import Problems, is_label, is_subdomain, repeated
from orchestrator.api.strategies.spec_status import SpecAndStatus, keep

_USAGES = (
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
)
_LEGACY_SIGNER = "kubernetes.io/legacy-unknown"
_DOMAIN_LENGTH_MAX = 253
_SIGNER_LENGTH_MAX = 571
_EXPIRATION_SECONDS_MIN = 600
_DECISIONS = ("Approved", "Denied")
_LASTING = (*_DECISIONS, "Failed")
_STATUSES = ("False", "True", "Unknown")


class _CertificateSigningRequests(SpecAndStatus):
    has_generation = False
    namespaced = False

    def name_rule(self, name: str) -> Sequence[str]:
        return names.is_valid_path_segment(name)

    def sign(self, obj: Object, asker: Asker) -> None:
        spec = obj.setdefault("spec", {})
        spec["username"], spec["groups"] = asker.name, list(asker.groups)
        spec.pop("uid", None)
        spec.pop("extra", None)
        if asker.uid:
            spec["uid"] = asker.uid
        if asker.extra:
            spec["extra"] = {key: list(values) for key, values in asker.extra.items()}

    def prepare_update(self, obj: Object, old: Object) -> None:
        # What was asked for is what gets signed: only metadata changes after creation.
        keep(obj, old, "spec")
        keep(obj, old, "status")

    def prepare_status_update(self, obj: Object, old: Object) -> None:
        keep(obj, old, "spec")
        status = obj.setdefault("status", {})
        # The decision belongs to the `approval` subresource, so a signer's view of it is overruled.
        decided = _conditions(old, _DECISIONS)
        others = [condition for condition in status.get("conditions") or () if condition.get("type") not in _DECISIONS]
        if decided or "conditions" in status:
            status["conditions"] = decided + others

    def rules(self, obj: Object) -> Sequence[Problem]:
        spec = obj.get("spec") or {}
        problems: Problems = []
        if fault := _request_fault(spec.get("request") or ""):
            problems.append(invalid("spec.request", spec.get("request") or "", fault))
        problems += _usages(spec.get("usages") or ())
        signer = spec.get("signerName") or ""
        if signer == _LEGACY_SIGNER:
            words = "the legacy signerName is not allowed via this API version"
            problems.append(invalid("spec.signerName", signer, words))
        else:
            problems += validate_signer_name("spec.signerName", signer)
        seconds = spec.get("expirationSeconds")
        if seconds is not None and seconds < _EXPIRATION_SECONDS_MIN:
            words = "may not specify a duration less than 600 seconds (10 minutes)"
            problems.append(invalid("spec.expirationSeconds", seconds, words))
        return problems + _condition_rules((obj.get("status") or {}).get("conditions") or ())

    def changes(self, obj: Object, old: Object) -> Sequence[Problem]:
        return [*_kept_conditions(obj, old), *_decisions_untouched(obj, old), *_no_certificate(obj, old)]

    def validate_status_update(self, obj: Object, old: Object) -> Sequence[Problem]:
        # Serves `status` and `approval`: which of them may touch which part was settled when the change was prepared.
        problems = [*self._metadata(obj, old), *self.rules(obj), *_kept_conditions(obj, old)]
        certificate, was = _certificate(obj), _certificate(old)
        if certificate != was:
            if was:
                words = "updates may not modify existing certificate content"
                problems.append(forbidden("status.certificate", words))
            elif fault := _certificate_fault(certificate):
                problems.append(invalid("status.certificate", "<certificate data>", fault))
        return problems

    def selectable_fields(self, obj: Object) -> Mapping[str, str]:
        return {"spec.signerName": (obj.get("spec") or {}).get("signerName") or ""}


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval(Part):
    """`/approval`: only the conditions of the status may change."""

    name: str = "approval"

    def prepare(self, strategy: Strategy, obj: Object, old: Object | None, now: str) -> None:
        assert old is not None
        status = {**(old.get("status") or {}), "conditions": (obj.get("status") or {}).get("conditions") or []}
        for condition in status["conditions"]:
            condition.setdefault("lastUpdateTime", now)
            condition.setdefault("lastTransitionTime", now)
        obj.clear()
        obj.update({**old, "metadata": dict(old["metadata"]), "status": status})

    def validate(self, strategy: Strategy, obj: Object, old: Object | None) -> Sequence[Problem]:
        assert old is not None
        return strategy.validate_status_update(obj, old)


def validate_signer_name(field: str, signer: str) -> Problems:
    """A signer is `domain/path`, the domain with at least two labels."""
    if not signer:
        return [required(field)]
    domain, slash, path = signer.partition("/")
    if not slash or "/" in path:
        words = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
        return [invalid(field, signer, words)]
    problems: Problems = []
    if len(domain) > _DOMAIN_LENGTH_MAX:
        problems.append(too_long(field, _DOMAIN_LENGTH_MAX))
    labels = domain.split(".")
    for word in labels:
        problems += [
            invalid(field, domain, f"validating label {json.dumps(word)}: {fault}") for fault in is_label(word)
        ]
    if len(labels) < 2:
        words = "should be a domain with at least two segments separated by dots"
        problems.append(invalid(field, domain, words))
    for word in path.split("."):
        faults = is_subdomain(word)
        problems += [invalid(field, path, f"validating label {json.dumps(word)}: {fault}") for fault in faults]
    if len(signer) > _SIGNER_LENGTH_MAX:
        problems.append(too_long(field, _SIGNER_LENGTH_MAX))
    return problems


def _request_fault(request: str) -> str:
    try:
        pem = base64.b64decode(request)
    except binascii.Error:
        pem = b""
    if b"-----BEGIN CERTIFICATE REQUEST-----" not in pem:
        return "PEM block type must be CERTIFICATE REQUEST"
    try:
        if x509.load_pem_x509_csr(pem).is_signature_valid:
            return ""
    except UnsupportedAlgorithm:
        return "x509: cannot verify signature: algorithm unimplemented"
    except (ValueError, InvalidSignature):
        return "asn1: structure error: not a certificate request"
    return "x509: signature does not match the public key"


def _certificate_fault(certificate: str) -> str:
    try:
        x509.load_pem_x509_certificates(base64.b64decode(certificate))
    except ValueError:
        return "must contain at least one CERTIFICATE PEM block"
    return ""


def _usages(usages: Sequence[str]) -> Problems:
    if not usages:
        return [required("spec.usages")]
    problems = [
        not_supported(f"spec.usages[{index}]", usage, _USAGES)
        for index, usage in enumerate(usages)
        if usage not in _USAGES
    ]
    return problems + [duplicate(f"spec.usages[{index}]", usages[index]) for index in repeated(usages)]


def _condition_rules(conditions: Sequence[Mapping[str, Any]]) -> Problems:
    problems: Problems = []
    seen: set[str] = set()
    for index, condition in enumerate(conditions):
        field, kind, status = f"status.conditions[{index}]", condition.get("type", ""), condition.get("status", "")
        if not kind:
            problems.append(required(f"{field}.type"))
        allowed = ("True",) if kind in _LASTING else _STATUSES
        if not status:
            problems.append(required(f"{field}.status"))
        elif status not in allowed:
            problems.append(not_supported(f"{field}.status", status, allowed))
        if kind in _DECISIONS and seen & (set(_DECISIONS) - {kind}):
            words = "Approved and Denied conditions are mutually exclusive"
            problems.append(invalid(f"{field}.type", kind, words))
        if kind in seen:
            problems.append(duplicate(f"{field}.type", kind))
        seen.add(kind)
    return problems


def _conditions(obj: Object, kinds: Sequence[str]) -> list[Object]:
    conditions = (obj.get("status") or {}).get("conditions") or ()
    return [condition for condition in conditions if condition.get("type") in kinds]


def _certificate(obj: Object) -> str:
    return (obj.get("status") or {}).get("certificate") or ""


def _kept_conditions(obj: Object, old: Object) -> Problems:
    return [
        forbidden("status.conditions", f'updates may not remove a condition of type "{kind}"')
        for kind in _LASTING
        if len(_conditions(obj, (kind,))) < len(_conditions(old, (kind,)))
    ]


def _decisions_untouched(obj: Object, old: Object) -> Problems:
    problems: Problems = []
    for kind in _DECISIONS:
        conditions, were = _conditions(obj, (kind,)), _conditions(old, (kind,))
        if len(conditions) > len(were):
            words = f'updates may not add a condition of type "{kind}"'
            problems.append(forbidden("status.conditions", words))
        elif len(conditions) == len(were) and conditions != were:
            words = f'updates may not modify a condition of type "{kind}"'
            problems.append(forbidden("status.conditions", words))
    return problems


def _no_certificate(obj: Object, old: Object) -> Problems:
    if _certificate(obj) == _certificate(old):
        return []
    return [forbidden("status.certificate", "updates may not set certificate content")]


CERTIFICATESIGNINGREQUESTS_STRATEGY = _CertificateSigningRequests()
