"""X.509 as the cluster uses it: its CA, certificates for clients and servers, signing requests, hashes to pin a CA by.

Everything takes and gives PEM; keys are P-256. Nothing here reads a clock or a file.
"""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY_S = 86_400.0
CA_LIFETIME_S = 3650 * DAY_S  # kubeadm's: replacing a CA touches every machine
CERTIFICATE_LIFETIME_S = 365 * DAY_S  # kubeadm's: renewal is ours, at every start
_BACKDATED_S = 300.0  # machines whose clock is a little behind must accept what was just issued


class BadCertificate(ValueError):
    """PEM that does not hold what it should: not a certificate, request or key, or a request not signed by its key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Whom a certificate is for. `organizations` are the groups of a client; addresses are a server's."""

    common_name: str
    organizations: tuple[str, ...] = ()
    dns_names: tuple[str, ...] = ()
    ip_addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFacts:
    """What a certificate signing request asks for. `other_names` counts e-mail addresses, URIs and the like."""

    subject: Subject
    other_names: int = 0


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and its key, both PEM. Neither is a secret except `key_pem`, kept out of the representation."""

    cert_pem: bytes
    key_pem: bytes

    def __repr__(self) -> str:
        return "Issued(...)"


def new_key() -> bytes:
    """A fresh private key: what TLS, signing requests and token signing use."""
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def public_key_of(key_pem: bytes) -> bytes:
    """The public half, PEM."""
    return (
        _key(key_pem)
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def new_authority(common_name: str, *, now: float) -> Issued:
    """A self-signed CA."""
    key_pem = new_key()
    key = _key(key_pem)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    certificate = (
        _builder(name, name, key.public_key(), now, CA_LIFETIME_S)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_key_usage(ca=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Issued(certificate.public_bytes(serialization.Encoding.PEM), key_pem)


class Authority:
    """A CA that signs. Raises `BadCertificate` if certificate and key do not belong together."""

    def __init__(self, pair: Issued) -> None:
        self.cert_pem = pair.cert_pem
        self._certificate = _certificate(pair.cert_pem)
        self._key = _key(pair.key_pem)
        if not belong_together(pair.cert_pem, pair.key_pem):
            raise BadCertificate("the CA's certificate and key do not belong together")

    def issue(
        self,
        subject: Subject,
        *,
        now: float,
        client: bool = False,
        server: bool = False,
        lifetime_s: float = CERTIFICATE_LIFETIME_S,
    ) -> Issued:
        """A new key and a certificate for it, for clients, servers or both. A server's carries the CA as its chain."""
        key_pem = new_key()
        leaf = self._sign(_key(key_pem).public_key(), subject, now, client, server, lifetime_s)
        return Issued(leaf + self.cert_pem if server else leaf, key_pem)

    def sign(
        self,
        request_pem: bytes,
        *,
        now: float,
        client: bool = False,
        server: bool = False,
        key_encipherment: bool = False,
        lifetime_s: float = CERTIFICATE_LIFETIME_S,
    ) -> bytes:
        """A certificate for exactly what the request asks; whether it may ask is the caller's decision."""
        facts = request_facts(request_pem)
        public_key = x509.load_pem_x509_csr(request_pem).public_key()
        usage = _key_usage(ca=False, key_encipherment=key_encipherment)
        return self._sign(public_key, facts.subject, now, client, server, lifetime_s, usage)

    def _sign(
        self,
        public_key: CertificatePublicKeyTypes,
        subject: Subject,
        now: float,
        client: bool,
        server: bool,
        lifetime_s: float,
        usage: x509.KeyUsage | None = None,
    ) -> bytes:
        # Never beyond the CA itself: verifiers refuse a chain whose issuer has expired.
        lifetime_s = min(lifetime_s, self._certificate.not_valid_after_utc.timestamp() - now)
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH] * client + [ExtendedKeyUsageOID.SERVER_AUTH] * server
        builder = (
            _builder(_name(subject), self._certificate.subject, public_key, now, lifetime_s)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(usage or _key_usage(ca=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )
        alternatives = _alternatives(subject)
        if alternatives:
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def new_request(subject: Subject, key_pem: bytes) -> bytes:
    """A certificate signing request (PEM) for `subject`, signed by the key."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(_name(subject))
    alternatives = _alternatives(subject)
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    return builder.sign(_key(key_pem), hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def request_facts(request_pem: bytes) -> RequestFacts:
    """What a request asks for. Raises `BadCertificate` for anything but a request signed by its own key."""
    try:
        request = x509.load_pem_x509_csr(request_pem)
        if not request.is_signature_valid:
            raise BadCertificate("the request is not signed by its own key")
        names = list(_alternative_names(request))
    except (ValueError, InvalidSignature, x509.DuplicateExtension) as exc:
        raise BadCertificate("asn1: structure error: not a certificate request") from exc
    dns_names = tuple(name.value for name in names if isinstance(name, x509.DNSName))
    ip_addresses = tuple(str(name.value) for name in names if isinstance(name, x509.IPAddress))
    common_names = _attribute(request.subject, NameOID.COMMON_NAME)
    return RequestFacts(
        subject=Subject(
            common_name=common_names[0] if common_names else "",
            organizations=_attribute(request.subject, NameOID.ORGANIZATION_NAME),
            dns_names=dns_names,
            ip_addresses=ip_addresses,
        ),
        other_names=len(names) - len(dns_names) - len(ip_addresses),
    )


def subject_of(cert_pem: bytes) -> Subject:
    """Whom the (first) certificate is for. Raises `BadCertificate`."""
    certificate = _certificate(cert_pem)
    names = list(_alternative_names(certificate))
    common_names = _attribute(certificate.subject, NameOID.COMMON_NAME)
    return Subject(
        common_name=common_names[0] if common_names else "",
        organizations=_attribute(certificate.subject, NameOID.ORGANIZATION_NAME),
        dns_names=tuple(name.value for name in names if isinstance(name, x509.DNSName)),
        ip_addresses=tuple(str(name.value) for name in names if isinstance(name, x509.IPAddress)),
    )


def expires_at(cert_pem: bytes) -> float:
    """When the (first) certificate ends, in seconds since 1970. Raises `BadCertificate`."""
    return _certificate(cert_pem).not_valid_after_utc.timestamp()


def is_issued_by(cert_pem: bytes, ca_pem: bytes) -> bool:
    """Whether the (first) certificate was signed by this CA's key."""
    try:
        _certificate(cert_pem).verify_directly_issued_by(_certificate(ca_pem))
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def belong_together(cert_pem: bytes, key_pem: bytes) -> bool:
    """Whether the key is the (first) certificate's; False as well where either cannot be read."""
    try:
        return _spki(_certificate(cert_pem).public_key()) == _spki(_key(key_pem).public_key())
    except BadCertificate:
        return False


def spki_hash(cert_pem: bytes) -> str:
    """`sha256:HEX` of the certificate's public key: what `wherry join --ca-hash` pins a CA by, as kubeadm does."""
    return "sha256:" + hashlib.sha256(_spki(_certificate(cert_pem).public_key())).hexdigest()


def pem_of(der: bytes) -> bytes:
    """A DER certificate, as TLS hands it over, as PEM. Raises `BadCertificate`."""
    try:
        return x509.load_der_x509_certificate(der).public_bytes(serialization.Encoding.PEM)
    except ValueError as exc:
        raise BadCertificate("not a certificate") from exc


def is_authority(cert_pem: bytes) -> bool:
    """Whether the certificate may sign others."""
    try:
        constraints = _certificate(cert_pem).extensions.get_extension_for_class(x509.BasicConstraints)
    except (x509.ExtensionNotFound, ValueError):
        return False
    return constraints.value.ca


def _certificate(cert_pem: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(cert_pem)
    except ValueError as exc:
        raise BadCertificate("not a certificate") from exc


def _key(key_pem: bytes) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(key_pem, password=None)
    except (ValueError, TypeError) as exc:
        raise BadCertificate("not a private key") from exc
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise BadCertificate("not an elliptic curve key")
    return key


def _spki(public_key: CertificatePublicKeyTypes) -> bytes:
    return public_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _builder(
    name: x509.Name, issuer: x509.Name, public_key: CertificatePublicKeyTypes, now: float, lifetime_s: float
) -> x509.CertificateBuilder:
    start = datetime.datetime.fromtimestamp(int(now - _BACKDATED_S), datetime.UTC)
    end = datetime.datetime.fromtimestamp(int(now + lifetime_s), datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
    )


def _key_usage(*, ca: bool, key_encipherment: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=key_encipherment,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def _name(subject: Subject) -> x509.Name:
    organizations = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, name) for name in subject.organizations]
    return x509.Name([*organizations, x509.NameAttribute(NameOID.COMMON_NAME, subject.common_name)])


def _alternatives(subject: Subject) -> list[x509.GeneralName]:
    addresses = [x509.IPAddress(ipaddress.ip_address(address)) for address in subject.ip_addresses]
    return [*(x509.DNSName(name) for name in subject.dns_names), *addresses]


def _alternative_names(
    holder: x509.Certificate | x509.CertificateSigningRequest,
) -> Sequence[x509.GeneralName]:
    try:
        return list(holder.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return ()


def _attribute(name: x509.Name, oid: x509.ObjectIdentifier) -> tuple[str, ...]:
    return tuple(str(attribute.value) for attribute in name.get_attributes_for_oid(oid))
