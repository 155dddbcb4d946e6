"""Answers to clients that accept YAML: the JSON that there is, written over off the event loop."""

from __future__ import annotations

from collections.abc import Iterable

from orchestrator.api import codec, yaml_text
from orchestrator.machinery.blocking import BlockingCalls
from orchestrator.machinery.errors import NotAcceptable
from orchestrator.server.answers import Answer
from orchestrator.server.negotiation import JSON, YAML

# Writing YAML is a hundred times as dear as joining bytes: whoever wants more of it takes pages.
_BYTES_MAX = 4 << 20


async def rewritten(answer: Answer, threads: BlockingCalls) -> Answer:
    """The same answer in YAML; what is no JSON (metrics, `ok`) stays what it is, what is too long is refused."""
    if answer.content_type != JSON:
        return answer
    return await threads.call(_rewritten, answer)


def _rewritten(answer: Answer) -> Answer:
    body = _gathered(answer.rendered or answer.parts or (answer.body,))
    if body is None:
        refusal = NotAcceptable(f"this is too long to be written as YAML: ask for pages, or accept {JSON}")
        return _rewritten(Answer.of_error(refusal))
    text = yaml_text.encode(codec.decode_any(body)) if body else b""
    return Answer(text, answer.status, YAML, answer.headers)


def _gathered(pieces: Iterable[bytes]) -> bytes | None:
    """The pieces in one, or None if that would be too much."""
    gathered = bytearray()
    for piece in pieces:
        gathered += piece
        if len(gathered) > _BYTES_MAX:
            return None
    return bytes(gathered)
