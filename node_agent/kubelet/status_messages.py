"""What a stream's error channel says at the end, as Kubernetes clients read it; pure."""

from __future__ import annotations

from orchestrator.api.objects import Object


def of_exit_code(code: int) -> Object:
    """A process has ended."""
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: exit status {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


def of_failure(why: str) -> Object:
    """The process could not be run, or was lost."""
    return {"metadata": {}, "status": "Failure", "message": why, "reason": "InternalError", "code": 500}
