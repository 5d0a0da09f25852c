"""The text of an answer while its tokens are drawn: whole characters only, and nothing of a stop string."""

from __future__ import annotations

from collections.abc import Callable, Sequence

BROKEN = "\ufffd"  # what half of a character decodes to


class TextStream:
    """What may be shown of one answer. `ended` is true once a stop string was found; it is no part of the text."""

    def __init__(self, decode: Callable[[Sequence[int]], str], stops: Sequence[str] = ()) -> None:
        self._decode, self._stops = decode, [stop for stop in stops if stop]
        self.text = ""
        self.ended = False

    def update(self, tokens: Sequence[int], *, last: bool = False) -> str:
        """The piece that the answer's tokens add to what was shown; with `last` what was held back comes too."""
        if self.ended:
            return ""
        whole = self._decode(tokens)
        places = [place for place in map(whole.find, self._stops) if place >= 0]
        if places:
            whole, self.ended = whole[: min(places)], True
        elif not last:
            whole = whole.rstrip(BROKEN)  # the rest of a character may follow
            whole = whole[: len(whole) - max((_shared_end(whole, stop) for stop in self._stops), default=0)]
        piece = whole[len(self.text) :]
        self.text += piece
        return piece


def _shared_end(text: str, stop: str) -> int:
    """How many characters at the end of the text may be the beginning of a stop string.

    >>> _shared_end("abc#", "##")
    1
    """
    longest = min(len(stop) - 1, len(text))
    return next((size for size in range(longest, 0, -1) if stop.startswith(text[-size:])), 0)
