"""`gristmill scrub`: conversations and preferences for the trainer without personal data, by the rules of scrub_pii.

Every string of an item is scrubbed, whatever the format: keys, numbers and structure stay as they are, and in one item
the same value has the same placeholder. An item that consists of personal data is left out as a page would be. So is
what cannot be read, since nobody can say what it holds.

JSONL      .jsonl .ndjson      one item a line
list       .json               a list of items, or lines
table      .tsv                one item a line, columns divided by tabs, "\\n" for line ends

Read plain or compressed (.gz, .zst); written plain or with .gz.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, BinaryIO, cast

from tqdm import tqdm

from pipeline import storage
from pipeline.errors import UserError
from pipeline.reading.jsonl import DamagedLine, read_lines
from pipeline.stages.scrub_pii import (
    Scrubber,
    ScrubPiiReason,
    ScrubPiiSettings,
    exceeded_limit,
    finds_per_1000_words,
)
from pipeline.text import count_words

MAX_ITEM_BYTES = 16 << 20  # of one line; the trainer reads no longer one either
MAX_LIST_BYTES = 1 << 30  # of a list, which is in memory as a whole
_ENDINGS = (".jsonl", ".ndjson", ".json", ".tsv")
_COMPRESSIONS = (".gz", ".zst")


@dataclass
class ScrubReport:
    """What became of the items of a file."""

    written: int = 0
    finds: Counter[str] = field(default_factory=Counter)  # by kind, in the items that are written
    left_out: Counter[str] = field(default_factory=Counter)  # by reason

    def describe(self) -> str:
        """One line."""
        finds = ", ".join(f"{kind} {count:,}" for kind, count in self.finds.most_common())
        left_out = ", ".join(f"{reason} {count:,}" for reason, count in self.left_out.most_common())
        text = f"{self.written:,} items, {self.finds.total():,} finds replaced" + (f" ({finds})" if finds else "")
        return text + (f"; left out: {left_out}" if left_out else "")


class LeftOutError(ValueError):
    """An item that is not written; the message is the reason under which it is counted."""


def scrub_file(path: str, output: str, settings: ScrubPiiSettings, language: str) -> ScrubReport:
    """Write the items of `path` to `output`, which has the same format. Raises UserError for files that do not fit."""
    ending = _ending_of(path)
    _check_output(path, output, ending)
    report, is_list = ScrubReport(), ending == ".json" and _is_list(path)
    items = _read_list(path) if is_list else _read_items(path)
    scrub = _scrub_value if is_list else _scrub_columns if ending == ".tsv" else _scrub_json
    with storage.write_atomically(output) as raw, _open(raw, output) as file:
        file.write(b"[\n" if is_list else b"")
        for item in items:
            try:
                scrubbed = _scrub_item(item, scrub, settings, language, report)
            except LeftOutError as reason:
                report.left_out[str(reason)] += 1
                continue
            between = b",\n" if is_list and report.written else b""
            file.write(between + scrubbed + (b"" if is_list else b"\n"))
            report.written += 1
        file.write(b"\n]\n" if is_list else b"")
        if not report.written:
            reasons = ", ".join(report.left_out) or "the file is empty"
            raise UserError(f"{path}: no item is left ({reasons})")
    return report


def _open(raw: BinaryIO, name: str) -> AbstractContextManager[BinaryIO]:
    """The file, compressed if its name says so; without the time, so that equal items give equal bytes."""
    if name.endswith(".gz"):
        return cast(BinaryIO, gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0))
    return nullcontext(raw)


def _ending_of(path: str) -> str:
    name = path.lower()
    for compression in _COMPRESSIONS:
        name = name.removesuffix(compression)
    if ending := next((ending for ending in _ENDINGS if name.endswith(ending)), None):
        return ending
    raise UserError(f"{path}: not a .jsonl, .json or .tsv file (or one of these with .gz or .zst)")


def _check_output(path: str, output: str, ending: str) -> None:
    if not output.endswith((ending, f"{ending}.gz")):
        raise UserError(f"--output {output}: its name must end with {ending} or {ending}.gz, as {path} has that format")
    if storage.exists(output):
        raise UserError(f"--output {output}: exists; remove it or choose another name")


def _read_items(path: str) -> Iterator[bytes | LeftOutError]:
    """The lines of a file. Raises UserError where it is damaged: its rest would be missing."""
    size = storage.size(path)
    with tqdm(total=size, unit="B", unit_scale=True, desc="scrub", disable=None) as bar:
        for line in read_lines(path, 0, size, cap=MAX_ITEM_BYTES):
            if isinstance(line, DamagedLine):
                raise UserError(f"{path}: damaged at byte {line.position:,} ({line.error}); get the file again")
            bar.update(line.position - bar.n)
            yield line.content if line.length <= MAX_ITEM_BYTES else LeftOutError("line over 16 MB")


def _is_list(path: str) -> bool:
    first = next(read_lines(path, 0, storage.size(path), cap=64), None)
    return first is not None and not isinstance(first, DamagedLine) and first.content.lstrip().startswith(b"[")


def _read_list(path: str) -> list[Any]:
    content = bytearray()
    for line in read_lines(path, 0, storage.size(path), cap=MAX_LIST_BYTES + 1):
        if isinstance(line, DamagedLine):
            raise UserError(f"{path}: damaged at byte {line.position:,} ({line.error}); get the file again")
        content += line.content + b"\n"
        if len(content) > MAX_LIST_BYTES:
            raise UserError(f"{path}: a list of over 1 GiB; write it as .jsonl, which is streamed")
    try:
        return cast(list[Any], json.loads(content))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not JSON ({error})") from error


def _scrub_item(
    item: Any,
    scrub: Callable[[Any, Callable[[str], str]], bytes],
    settings: ScrubPiiSettings,
    language: str,
    report: ScrubReport,
) -> bytes:
    if isinstance(item, LeftOutError):
        raise item
    scrubber, words = Scrubber(settings, language), 0

    def replace(text: str) -> str:
        nonlocal words
        scrubbed = scrubber.scrub(text)
        words += count_words(scrubbed)
        return scrubbed

    try:
        scrubbed = scrub(item, replace)
    except RecursionError:
        raise LeftOutError("nested too deeply") from None
    except UnicodeError:
        raise LeftOutError("not Unicode") from None
    finds = scrubber.counts.total()
    if exceeded_limit(finds, finds_per_1000_words(finds, words), settings):
        raise LeftOutError(ScrubPiiReason.TOO_MUCH_PII)
    report.finds.update({str(kind): count for kind, count in scrubber.counts.items()})
    return scrubbed


def _scrub_columns(line: bytes, replace: Callable[[str], str]) -> bytes:
    columns = [column.replace("\\n", "\n") for column in line.decode().split("\t")]
    return "\t".join(replace(column).replace("\n", "\\n") for column in columns).encode()


def _scrub_json(line: bytes, replace: Callable[[str], str]) -> bytes:
    text = line.decode()
    try:
        item = json.loads(text)
    except ValueError:
        raise LeftOutError("not JSON") from None
    return _scrub_value(item, replace)


def _scrub_value(item: Any, replace: Callable[[str], str]) -> bytes:
    def walk(value: Any) -> Any:
        if isinstance(value, str):
            value.encode()  # half a surrogate pair: refused before a finder meets it
            return replace(value)
        if isinstance(value, dict):
            return {key: walk(inner) for key, inner in value.items()}
        return [walk(inner) for inner in value] if isinstance(value, list) else value

    return json.dumps(walk(item), ensure_ascii=False).encode()
