"""How a watch's lines are written."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.server.endpoints.watch import gathered


@given(lines=st.lists(st.binary(min_size=1, max_size=9)), bytes_max=st.integers(1, 20))
def test_lines_are_gathered_into_pieces_and_none_is_lost(lines: list[bytes], bytes_max: int) -> None:
    pieces = list(gathered(lines, bytes_max))
    assert b"".join(pieces) == b"".join(lines)
    # A piece is full with its last line, not before.
    assert all(len(piece) < bytes_max + 9 for piece in pieces)
    assert all(len(piece) >= bytes_max for piece in pieces[:-1])
