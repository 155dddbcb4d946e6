"""Warnings are bounded, and carry nothing that a header must not."""

from __future__ import annotations

from orchestrator.server.warnings import headers_of


def test_each_text_is_told_once_and_quoted() -> None:
    assert headers_of(['a "b" \\', 'a "b" \\', "", "x\r\nSet-Cookie: y\x1b[2J"]) == [
        ("Warning", '299 - "a \\"b\\" \\\\"'),
        ("Warning", '299 - "x  Set-Cookie: y [2J"'),
    ]


def test_one_long_warning_goes_out_whole_and_many_are_cut() -> None:
    assert headers_of(["x" * 4096]) == [("Warning", f'299 - "{"x" * 4096}"')]
    cut = headers_of([f"{n:04}" + "x" * 1000 for n in range(10)])
    assert [value for _, value in cut] == [f'299 - "{n:04}{"x" * 252}"' for n in range(10)]


def test_more_than_a_hundred_warnings_do_not_break_clients_that_take_a_hundred_headers() -> None:
    assert len(headers_of([f"unknown field {n}" for n in range(500)])) <= 64
    assert len(headers_of([f"{n:04}" + "x" * 1000 for n in range(500)])) <= 16
