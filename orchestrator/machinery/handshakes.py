"""Why a TLS handshake failed, in words for whoever reads the log of either side."""

from __future__ import annotations

import ssl

# OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED.
_ABOUT_TIME = (9, 10)


def why_refused(exc: Exception) -> str:
    """Why a TLS handshake failed, in a sentence that asks about the clocks where they are a likely reason."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        why = f"the other side's certificate does not hold: {exc.verify_message}"
        return f"{why}, by this machine's clock: is it right?" if exc.verify_code in _ABOUT_TIME else why
    reason = exc.reason if isinstance(exc, ssl.SSLError) else ""
    if reason and "ALERT" in reason and ("CERTIFICATE" in reason or "UNKNOWN_CA" in reason):
        return (
            f"the other side refuses our certificate ({reason}): is it of the same cluster, and are both clocks right?"
        )
    return reason or str(exc)
