"""Certificate signing requests, as their controller and those who wait for a certificate see them."""

from __future__ import annotations

from orchestrator.api.views.meta import Condition, ObjectMeta, View


class SigningRequestSpec(View, frozen=True):
    """What is asked for. `username` and `groups` were set by the API server: who asks. `request` is base64 of PEM."""

    request: str = ""
    signer_name: str = ""
    usages: tuple[str, ...] = ()
    username: str = ""
    groups: tuple[str, ...] = ()
    expiration_seconds: int | None = None


class SigningRequestStatus(View, frozen=True):
    """Approved, Denied or Failed, and the certificate once there is one (base64 of PEM)."""

    conditions: tuple[Condition, ...] = ()
    certificate: str = ""


class SigningRequest(View, frozen=True):
    """A CertificateSigningRequest."""

    metadata: ObjectMeta = ObjectMeta()
    spec: SigningRequestSpec = SigningRequestSpec()
    status: SigningRequestStatus = SigningRequestStatus()

    def has(self, condition: str) -> bool:
        """Whether a condition of that type is there (for signing requests, its status is always True)."""
        return any(one.type == condition for one in self.status.conditions)
