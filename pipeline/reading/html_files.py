"""Read the HTML files of a unit, one page a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pipeline import effects, storage
from pipeline.reading.inputs import Input


@dataclass(frozen=True, slots=True)
class HtmlFile:
    """One file of a unit."""

    name: str
    position: int  # bytes of the unit's files before it
    size: int
    content: bytes  # of a file above the cap only its beginning


def read_html_files(files: Iterable[Input], cap: int) -> Iterator[HtmlFile]:
    """Every file in order; at most `cap` bytes of each are held."""
    position = 0
    for file in files:
        with storage.open_binary(file.path) as opened, storage.explain_errors(file.path, "read"):
            content = effects.read_fully(opened, cap)
            size = len(content) + (len(opened.read(1)) if len(content) == cap else 0)
        yield HtmlFile(file.name, position, max(size, file.size), content)
        position += file.size
