"""The errors of talking to the API, named by what the caller should do about them, and the `Status` they travel as."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from orchestrator.api.problems import Problem

# Three megabytes of what is wrong in each of its parts would be answered with sixty.
_PROBLEMS_MAX = 1000


class ApiError(Exception):
    """A refusal that the API expresses as a `Status` (`metav1.Status`, failure).

    `details` is the Status' own `details` field: name, group, kind, causes, retryAfterSeconds. `metadata` is that of a
    list: an expired one has a `continue`.
    """

    code: ClassVar[int] = 500
    reason: ClassVar[str] = "InternalError"
    #: Whether Kubernetes gives such a Status its `details` though nothing is known for them: clients look into them.
    always_details: ClassVar[bool] = False

    def __init__(
        self, message: str, *, details: Mapping[str, Any] | None = None, metadata: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.metadata = dict(metadata or {})
        self.details = dict(details or {})
        self._has_details = details is not None or self.always_details
        self.status_code = self.code
        self.status_reason = self.reason

    def as_status(self) -> dict[str, Any]:
        """The `Status` object to answer with."""
        status: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": self.metadata,
            "status": "Failure",
            "message": self.message,
            "reason": self.status_reason,
            "code": self.status_code,
        }
        if self.details or self._has_details:
            status["details"] = self.details
        return status


class BadRequest(ApiError):
    """The request makes no sense as sent (malformed body, wrong types); sending it again is pointless."""

    code, reason = 400, "BadRequest"


class Unauthorized(ApiError):
    """Nobody we know: no credentials, or credentials that prove nothing."""

    code, reason = 401, "Unauthorized"


class Forbidden(ApiError):
    """We know who asks, and they may not."""

    code, reason = 403, "Forbidden"
    always_details = True


class NotFound(ApiError):
    """The object, or the resource itself, does not exist. For a delete, that is success."""

    code, reason = 404, "NotFound"
    always_details = True


class MethodNotAllowed(ApiError):
    """The resource exists and does not support this verb."""

    code, reason = 405, "MethodNotAllowed"
    always_details = True


class NotAcceptable(ApiError):
    """The client accepts no form that we can answer in."""

    code, reason = 406, "NotAcceptable"


class AlreadyExists(ApiError):
    """A create found the name taken."""

    code, reason = 409, "AlreadyExists"
    always_details = True


class Conflict(ApiError):
    """Somebody else wrote first, or a precondition does not hold: read again, decide again."""

    code, reason = 409, "Conflict"
    always_details = True


class Gone(ApiError):
    """The resourceVersion asked for is no longer kept: list again. (reason `Expired`)"""

    code, reason = 410, "Expired"


class RequestEntityTooLarge(ApiError):
    """The body is over the limit."""

    code, reason = 413, "RequestEntityTooLarge"


class UnsupportedMediaType(ApiError):
    """The body is in a form that we do not read."""

    code, reason = 415, "UnsupportedMediaType"


class Invalid(ApiError):
    """The object breaks rules of its kind; the causes say which."""

    code, reason = 422, "Invalid"
    always_details = True

    @classmethod
    def of(cls, *, group: str, kind: str, name: str, problems: Sequence[Problem]) -> Invalid:
        """Build it from what validation found, in Kubernetes' words; of very many problems the first thousand."""
        problems = problems[:_PROBLEMS_MAX]
        shown = [str(problem) for problem in problems]
        listed = shown[0] if len(shown) == 1 else "[" + ", ".join(shown) + "]"
        qualified = f"{kind}.{group}" if group else kind
        details: dict[str, Any] = {"name": name, "group": group, "kind": kind}
        details["causes"] = [problem.as_cause() for problem in problems]
        return cls(
            f'{qualified} "{name}" is invalid: {listed}', details={k: v for k, v in details.items() if v not in ("",)}
        )


class TooManyRequests(ApiError):
    """Too much at once, or a disruption budget says not now: wait and try again."""

    code, reason = 429, "TooManyRequests"

    def __init__(self, message: str, *, retry_after_s: int = 1, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message, details={"retryAfterSeconds": retry_after_s, **(details or {})})
        self.retry_after_s = retry_after_s


class InternalError(ApiError):
    """Our own fault."""

    code, reason = 500, "InternalError"
    always_details = True


class ServiceUnavailable(ApiError):
    """Not able to answer at present (starting, or a node out of reach): try again."""

    code, reason = 503, "ServiceUnavailable"


class GatewayTimeout(ApiError):
    """The answer did not come in time; a write may have happened nevertheless."""

    code, reason = 504, "Timeout"
    always_details = True


class Unreachable(Exception):
    """No answer from the API server at all; nothing is known of whether a write happened. Relist before deciding."""


class NotLeading(Unreachable):
    """The write was not sent: this process is not the leader any more. It is about to end; do nothing else."""


class RetryLater(Exception):
    """Raised by a sync that has to wait: try the same key again after `delay_s`, without counting it as a failure."""

    def __init__(self, why: str, *, delay_s: float) -> None:
        super().__init__(why)
        self.delay_s = delay_s


_BY_REASON: dict[str, type[ApiError]] = {
    cls.reason: cls
    for cls in (
        BadRequest, Unauthorized, Forbidden, NotFound, MethodNotAllowed, NotAcceptable, AlreadyExists, Conflict, Gone,
        RequestEntityTooLarge, UnsupportedMediaType, Invalid, TooManyRequests, ServiceUnavailable, GatewayTimeout,
    )
}  # fmt: skip
_BY_CODE: dict[int, type[ApiError]] = {cls.code: cls for cls in _BY_REASON.values() if cls is not AlreadyExists}


def _whole(value: Any, default: int) -> int:
    return value if type(value) is int else default


def error_of_status(code: int, status: Mapping[str, Any]) -> ApiError:
    """Turn an HTTP answer's code and decoded `Status` body (possibly empty) back into the error it was."""
    cls = _BY_REASON.get(str(status.get("reason", ""))) or _BY_CODE.get(code) or InternalError
    message = str(status.get("message") or f"the server answered with HTTP {code}")
    details = status.get("details")
    if cls is TooManyRequests:
        retry_after_s = _whole((details or {}).get("retryAfterSeconds"), 1)
        return TooManyRequests(message, retry_after_s=retry_after_s, details=details)
    error = cls(message, details=details)
    error.status_code = code
    if status.get("reason"):
        error.status_reason = str(status["reason"])
    return error
