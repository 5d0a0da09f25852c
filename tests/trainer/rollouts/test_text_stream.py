"""Pieces of text join to what the tokens decode to, up to the first stop string, however the text is cut."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import example, given
from hypothesis import strategies as st

from trainer.rollouts.text_stream import TextStream


def decode(tokens: Sequence[int]) -> str:
    return bytes(tokens).decode("utf-8", "replace")


@given(st.text("ab#é😀\n", max_size=30), st.lists(st.text("ab#é", min_size=1, max_size=3), max_size=3))
@example("a##b", ["##"])
@example("aba", ["abb"])
def test_pieces_join_to_the_text_before_the_first_stop(text: str, stops: list[str]) -> None:
    stream, pieces, tokens = TextStream(decode, stops), [], text.encode()
    for size in range(1, len(tokens) + 1):
        pieces.append(stream.update(list(tokens[:size])))
        if stream.ended:
            break
    pieces.append(stream.update(list(tokens), last=True))
    ends = [text.index(stop) for stop in stops if stop in text]
    assert stream.ended == bool(ends)
    assert "\ufffd" not in "".join(pieces)
    assert "".join(pieces) == stream.text
    if len(stops) == 1:  # of several the one that is whole first ends the text
        assert stream.text == text[: min(ends, default=None)]


def test_half_a_character_appears_at_the_end_only() -> None:
    stream = TextStream(decode)
    assert stream.update([0x61, 0xC3]) == "a"
    assert stream.update([0x61, 0xC3], last=True) == "\ufffd"
