"""Refuse inputs that are plainly something else than their names say, or nothing at all."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from pipeline.reading.file_formats import Format, format_of
from pipeline.reading.first_bytes import EMPTY, describe_start, read_start, say_other_format
from pipeline.reading.inputs import Input
from pipeline.reading.listings import InputError

CHECKED = 16  # input files that are looked at before a run; one small request each


def check_formats(inputs: Sequence[Input]) -> None:
    """Raise InputError for one of the first inputs whose first bytes are those of another format.

    A page is lost alone, and so is an empty file: HTML files and empty ones are refused if all of the first are so.
    """
    looked = list(islice((entry for entry in inputs if not entry.ranges), CHECKED))
    found = [describe_start(read_start(entry.path, entry.size) if entry.size else b"", entry.name) for entry in looked]
    for entry, name in zip(looked, found, strict=True):
        is_lost_alone = name == EMPTY or format_of(entry.name) is Format.HTML
        if name and (all(found) or not is_lost_alone):
            raise InputError(say_other_format(entry.path, entry.name, name))
