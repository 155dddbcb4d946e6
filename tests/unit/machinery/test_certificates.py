"""Certificates say whom they are for, chain to the CA, and bad PEM is refused by name."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from orchestrator.machinery import certificates
from orchestrator.machinery.certificates import Authority, BadCertificate, Issued, Subject

NOW = 1_800_000_000.0
NODE = Subject(common_name="system:node:n1", organizations=("system:nodes",))


@pytest.fixture(scope="module")
def ca_pair() -> Issued:
    return certificates.new_authority("wherry", now=NOW)


@pytest.fixture(scope="module")
def ca(ca_pair: Issued) -> Authority:
    return Authority(ca_pair)


def test_an_issued_certificate_says_whom_it_is_for_and_who_signed_it(ca: Authority, ca_pair: Issued) -> None:
    server = Subject(common_name="kube-apiserver", dns_names=("localhost",), ip_addresses=("127.0.0.1", "::1"))
    issued = ca.issue(server, now=NOW, server=True)
    assert certificates.subject_of(issued.cert_pem) == server
    assert certificates.is_issued_by(issued.cert_pem, ca_pair.cert_pem)
    assert certificates.expires_at(issued.cert_pem) == NOW + certificates.CERTIFICATE_LIFETIME_S


def test_a_request_asks_for_its_subject_and_gets_a_certificate_for_it(ca: Authority) -> None:
    key = certificates.new_key()
    wanted = Subject(
        common_name=NODE.common_name, organizations=NODE.organizations, dns_names=("n1",), ip_addresses=("10.0.0.1",)
    )
    request = certificates.new_request(wanted, key)
    assert certificates.request_facts(request) == certificates.RequestFacts(subject=wanted)
    assert certificates.subject_of(ca.sign(request, now=NOW, server=True)) == wanted


def test_an_rsa_key_may_encipher_where_that_was_asked_for(ca: Authority) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "jane")])
    built = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    request = built.public_bytes(serialization.Encoding.PEM)
    for asked in (True, False):
        signed = x509.load_pem_x509_certificate(ca.sign(request, now=NOW, client=True, key_encipherment=asked))
        usage = signed.extensions.get_extension_for_class(x509.KeyUsage).value
        assert (usage.digital_signature, usage.key_encipherment) == (True, asked)
        assert isinstance(signed.public_key(), rsa.RSAPublicKey)


def test_no_certificate_outlives_its_ca(ca: Authority, ca_pair: Issued) -> None:
    late = NOW + certificates.CA_LIFETIME_S - 10
    assert certificates.expires_at(ca.issue(NODE, now=late, client=True).cert_pem) == certificates.expires_at(
        ca_pair.cert_pem
    )


def test_the_hash_pins_the_key_not_the_certificate(ca_pair: Issued) -> None:
    other = certificates.new_authority("wherry", now=NOW)
    assert certificates.spki_hash(ca_pair.cert_pem).startswith("sha256:")
    assert certificates.spki_hash(ca_pair.cert_pem) != certificates.spki_hash(other.cert_pem)
    assert certificates.is_authority(ca_pair.cert_pem)


def test_a_foreign_ca_did_not_issue_it(ca: Authority) -> None:
    other = certificates.new_authority("wherry", now=NOW)
    issued = ca.issue(NODE, now=NOW, client=True)
    assert not certificates.is_issued_by(issued.cert_pem, other.cert_pem)
    assert not certificates.is_authority(issued.cert_pem)


@pytest.mark.parametrize(
    "pem",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n", id="garbage"),
    ],
)
def test_what_is_no_request_is_refused(pem: bytes) -> None:
    with pytest.raises(BadCertificate):
        certificates.request_facts(pem)


def test_a_key_of_another_certificate_makes_no_authority(ca_pair: Issued) -> None:
    with pytest.raises(BadCertificate):
        Authority(Issued(ca_pair.cert_pem, certificates.new_key()))


async def test_tls_accepts_what_the_ca_issued_and_shows_the_client(
    ca: Authority, ca_pair: Issued, tmp_path: Path
) -> None:
    # Real time: TLS compares with the machine's clock.
    (tmp_path / "ca.crt").write_bytes(ca_pair.cert_pem)
    contexts = []
    for side, purpose in (("server", ssl.PROTOCOL_TLS_SERVER), ("client", ssl.PROTOCOL_TLS_CLIENT)):
        subject = Subject(common_name=side, organizations=("system:masters",), dns_names=("localhost",))
        pair = ca.issue(subject, now=NOW, client=True, server=True)
        (tmp_path / f"{side}.crt").write_bytes(pair.cert_pem)
        (tmp_path / f"{side}.key").write_bytes(pair.key_pem)
        context = ssl.SSLContext(purpose)
        context.load_verify_locations(tmp_path / "ca.crt")
        context.load_cert_chain(tmp_path / f"{side}.crt", tmp_path / f"{side}.key")
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= 0x200000  # X509_V_FLAG_NO_CHECK_TIME: NOW is in the future
        contexts.append(context)

    seen: asyncio.Queue[object] = asyncio.Queue()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.put_nowait(writer.get_extra_info("peercert"))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=contexts[0])
    async with server:
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=contexts[1], server_hostname="localhost")
        peer = await seen.get()
        await reader.read()
        writer.close()
        await writer.wait_closed()
    assert isinstance(peer, dict)
    assert (("commonName", "client"),) in peer["subject"]
