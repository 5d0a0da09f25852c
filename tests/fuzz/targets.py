"""One function of bytes for each reader of untrusted input. It returns, or raises what breaks a promise."""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard
from click import ClickException

from pipeline import effects, errors
from pipeline.config import load_config
from pipeline.documents import Document, Dropped, Page
from pipeline.effects import Effect
from pipeline.extraction.charset import decode
from pipeline.inspection.audit import audit_output
from pipeline.inspection.status import read_status
from pipeline.lists.annotations import Annotation, read_annotation
from pipeline.reading.content_type import is_html
from pipeline.reading.http_message import BodyDamagedError, BodyTooLargeError, decode_body, parse_message
from pipeline.reading.inputs import Input, resolve_inputs
from pipeline.reading.units import cut_units
from pipeline.release.annotations import ANNOTATIONS, RELEASE, read_release
from pipeline.release.annotations import read_settings as read_stored_settings
from pipeline.stages import extract_text, quick_look, read_documents
from pipeline.stages.read_warc import ReadWarcSettings, read_unit
from tests.pipeline.warcs import html, record
from trainer.data.verified_files import VerifiedFiles

CAP = 1 << 20  # bytes
DOCUMENT_MODULES = ("pipeline.reading", "pipeline.stages", "pipeline.storage")


@dataclass(frozen=True)
class Target:
    """A reader, and inputs from which fuzzing starts."""

    run: Callable[[bytes], None]
    seeds: Callable[[], Sequence[bytes]]
    modules: tuple[str, ...]  # whose branches guide the fuzzing


@cache
def _folder() -> Path:
    memory = Path("/dev/shm")
    return Path(tempfile.mkdtemp(prefix="fuzz-", dir=memory if memory.is_dir() else None))


def _write(name: str, content: bytes) -> str:
    path = _folder() / name
    path.write_bytes(content)
    return str(path)


# --- WARC, in gzip and zstd members ---


def read_warc(data: bytes) -> None:
    """No bytes raise, and every cut gives the same pages."""
    path = _write("x.warc.gz", data)
    found = [list(_read(path, len(data), unit_bytes)) for unit_bytes in (1 << 30, max(1, len(data) // 2))]
    assert found[0] == found[1]


def _read(path: str, size: int, unit_bytes: int) -> list[object]:
    settings = ReadWarcSettings(max_body_bytes=CAP)
    units = cut_units([Input("x.warc.gz", path, size)], unit_bytes)
    return [item for unit in units for item in read_unit(unit, settings)]


@cache  # the records have random ids
def warc_seeds() -> list[bytes]:
    parts = [record(html("a page"), compressed=False), record(b"", kind="request", compressed=False)]
    zstd = zstandard.ZstdCompressor(write_checksum=True)
    return [
        b"".join(parts),
        b"".join(gzip.compress(part, mtime=0) for part in parts),
        gzip.compress(b"".join(parts), mtime=0),
        b"".join(zstd.compress(part) for part in parts),
        gzip.compress(parts[0], mtime=0) + b"junk" + gzip.compress(parts[1], mtime=0)[:-9],
    ]


# --- JSONL and Parquet documents ---


def read_documents_of(data: bytes, name: str) -> None:
    """Every record is a page or a drop that can be stored, every cut gives the same, and each is found again."""
    path, settings = _write(name, data), read_documents.ReadDocumentsSettings(max_text_bytes=CAP, max_line_bytes=CAP)
    found = []
    for unit_bytes in (1 << 30, max(1, len(data) // 2)):
        units = cut_units([Input(name, path, len(data))], unit_bytes)
        found.append([item for unit in units for _, item in read_documents.read_unit(unit, settings)])
    assert [_without_line(item) for item in found[0]] == [_without_line(item) for item in found[1]]
    for item in found[0]:
        page = item.record if isinstance(item, Dropped) else item
        assert isinstance(item, Page) or item.reason in list(read_documents.REASONS)
        assert len(page.content) <= CAP
        f"{page.url} {page.host} {page.fetched_at}".encode()
        assert "\n" not in page.url
        again = _read_again(path, page.warc_offset, name, settings)
        if isinstance(again, str):  # no part of the file can be read
            assert isinstance(item, Dropped)
            assert (item.reason, path in again) == (read_documents.REASONS.UNREADABLE, True)
        else:
            assert _without_line(again) == _without_line(item)


def _read_again(
    path: str, offset: int, name: str, settings: read_documents.ReadDocumentsSettings
) -> Page | Dropped | str:
    """The record there, or the message of the error."""
    try:
        return read_documents.read_record(path, offset, name, settings)
    except errors.UserError as error:
        return error.format_message()


def _without_line(item: Page | Dropped) -> Page | Dropped:
    """The number of a line is known only where the lines before it have been read."""
    return replace(item, detail="") if isinstance(item, Dropped) else item


def jsonl_seeds() -> list[bytes]:
    lines = [
        b'{"text": "a story", "url": "https://a.example/1", "date": "2026-10-01"}',
        b'{"html": "<p>b", "metadata": {"url": "https://user:secret@b.example/\\u202e"}}',
        b'{"text": "\\ud800", "url": 3}\r',
        b'{"text": ["no"]}\n\n[1]\nnull\n\xff',
    ]
    plain = b"\n".join(lines)
    return [plain, b"\xef\xbb\xbf" + plain, b"[" * 5000, b'{"text": "' + b"x" * 3000 + b'"}\n{']


def packed_jsonl_seeds() -> list[bytes]:
    return [gzip.compress(each, mtime=0) for each in jsonl_seeds()] + [
        gzip.compress(b'{"text": "a"}\n', mtime=0) + gzip.compress(b'{"text": "b"}\n', mtime=0)[:-3]
    ]


def rows_seeds() -> list[bytes]:
    whole: dict[str, list[object]] = {
        "text": ["a story", None, " "],
        "html": [None, b"<p>b", b""],
        "url": ["https://a.example/1", None, "x"],
    }
    nested: dict[str, list[object]] = {"raw_content": ["a"], "metadata": [{"url": "https://b.example/"}]}
    return [_table(whole), _table(nested), _table({"text": [3]}), _table({"other": []})]


# --- HTTP messages and charsets ---


def read_message(data: bytes) -> None:
    """A body is decoded within its cap, or its error is one of two."""
    message = parse_message(data)
    try:
        body = decode_body(message, CAP)
    except (BodyTooLargeError, BodyDamagedError):
        return
    assert len(body) <= CAP
    is_html("", message.header("content-type") or "", body) if hasattr(message, "header") else None


def message_seeds() -> list[bytes]:
    def message(headers: bytes, body: bytes) -> bytes:
        return b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=latin1\r\n" + headers + b"\r\n" + body

    return [
        message(b"Content-Encoding: gzip\r\n", gzip.compress(b"hello", mtime=0)),
        message(b"Transfer-Encoding: chunked\r\n", b"5;x=y\r\nhello\r\n0\r\nA: b\r\n\r\n"),
        message(b"Content-Encoding: zstd, br\r\n", zstandard.compress(b"hello")),
        message(b"Content-Encoding: deflate\r\nContent-Length: 3\r\n", b"\x78\x9c\xcb\x48\x04\x00"),
        b"HTTP/1.0 404\n\nno",
    ]


def read_charset(data: bytes) -> None:
    """Any bytes with any declared charset are text that can be stored."""
    declared, _, content = data.partition(b"\n")
    text, _ = decode(content, declared.decode("latin-1") or None)
    text.encode("utf-8")


def charset_seeds() -> list[bytes]:
    texts = ["grüße", "привет мир", "日本語のページ", "ελληνικά", "שלום"]
    charsets = ["utf-8", "windows-1251", "euc-jp", "iso-2022-jp", "utf-16", "gb18030", "shift_jis", "x-user-defined"]
    found = [
        charset.encode() + b'\n<meta charset="' + charset.encode() + b'">' + text.encode(charset, "ignore")
        for charset, text in zip(charsets, texts * 2, strict=False)
        if charset != "x-user-defined"
    ]
    return [*found, b"\n" + "Ã¼ber".encode(), b"x-user-defined\n\x80\xff"]


# --- HTML ---


@cache
def _stages() -> tuple[Callable[..., object], Callable[..., object]]:
    look = quick_look.QuickLookSettings()
    return quick_look.build(look), extract_text.build(extract_text.ExtractTextSettings())


def read_html(data: bytes) -> None:
    """A page is a document or a drop, never an exception, and its text can be stored."""
    page = Page("https://example.org/", "2026-10-01T12:00:00Z", "x.warc.gz", 0, data)
    look, extract = _stages()
    seen, document = look(page), extract(page)
    assert seen is page or _is_drop(seen, page, quick_look.REASONS)
    if isinstance(document, Document):
        assert document.text.encode("utf-8").strip()
        assert "\x00" not in document.text
        assert (document.url, document.warc_offset) == (page.url, page.warc_offset)
    else:
        assert _is_drop(document, page, extract_text.REASONS)


def _is_drop(answer: object, page: Page, reasons: type[StrEnum]) -> bool:
    """Whether the answer is a drop of this page, for a reason of its stage."""
    return isinstance(answer, Dropped) and answer.record is page and answer.reason in list(reasons)


def html_seeds() -> list[bytes]:
    return [
        html("A heading and a paragraph that is long enough to be read as the main text of this page."),
        b"<table><tr><td>a<td colspan=3>b</table><pre>  x\n y</pre><ul><li>1<ol><li>2</ol></ul>",
        b"<math><mfrac><mi>a</mi><mn>2</mn></mfrac></math><p>10<sup>25</sup> H<sub>2</sub>O &nbsp;&#xD800;&amp;lt;",
        b"<svg><style></svg><p></style><template><p>x</template><frameset><noscript><p>y",
        b"<script>var a = '</p>'</script><textarea><p></textarea><select><option>1<plaintext>",
    ]


# --- listings, index rows, settings, results ---


class _Offline:
    """A world without a network and without waiting: fuzzed addresses reach nobody."""

    def perform(self, effect: Effect, subject: str, action: Callable[[], Any], torn: object = None) -> Any:
        if effect in (Effect.REQUEST, Effect.FIND):
            raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
        return None if effect is Effect.SLEEP else action()


def _refused(action: Callable[[], object]) -> None:
    """The action succeeds, or refuses its input in one line that names a file: this one, or an address in it."""
    try:
        with effects.simulate(_Offline()):
            action()
    except errors.UserError as error:
        message = error.format_message()
        assert "\n" not in message
        assert str(_folder()) in message or "://" in message, message


def read_listing(data: bytes) -> None:
    """Names in a listing become inputs, or an error."""
    _refused(lambda: resolve_inputs([_write("warc.paths", data)], prefix=str(_folder()), limit=3))


def listing_seeds() -> list[bytes]:
    names = b"crawl-data/CC-MAIN-2026-43/a.warc.gz\n../b.warc.gz\n# note\n\nfile:///etc/passwd\n/x\nhttps://h/\n"
    return [names, gzip.compress(names, mtime=0), gzip.compress(b"", mtime=0), b"\xff\xfe\n\x00"]


def read_index(data: bytes) -> None:
    """Rows of an index become byte ranges, or an error."""
    _refused(lambda: resolve_inputs([_write("index.parquet", data)], prefix=str(_folder())))


def index_seeds() -> list[bytes]:
    return [
        _table({"warc_filename": ["a"], "warc_record_offset": [0], "warc_record_length": [9]}),
        _table({"warc_filename": ["a", None], "warc_record_offset": [-1, 2], "warc_record_length": [0, None]}),
        _table({"warc_filename": [1], "warc_record_offset": ["x"], "warc_record_length": [2.5]}),
        _table({"warc_filename": ["a", "a"], "warc_record_offset": [0, 5], "warc_record_length": [9, 1 << 62]}),
        _table({**_INDEX, "content_digest": ["sha1:VGKMV2NVDHMQWQWUVTFOPQW4BXD3NHRK"]}),
    ]


_INDEX: dict[str, list[object]] = {"warc_filename": ["a"], "warc_record_offset": [0], "warc_record_length": [9]}


def read_hosts(data: bytes) -> None:
    """An annotation of the index becomes hosts, or an error, as Parquet and as CSV."""
    for name in ("spam.parquet", "spam.csv"):
        _refused(lambda name=name: list(read_annotation(Annotation(path=_write(name, data)))))  # type: ignore[misc]


def hosts_seeds() -> list[bytes]:
    marks: dict[str, list[object]] = {"surt_host_name": ["com,a", "org,b,c", None], "spam": [True, False, None]}
    text = b'surt_host_name,spam,rank\n"com,a",true,1\n"org,b",false,0.5\n'
    return [_table(marks), _table({"domain": ["a.com"], "abuse": [1.5]}), text, gzip.compress(text)]


def _table(columns: dict[str, list[object]]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def read_settings(data: bytes) -> None:
    """A settings file is a configuration, or an error."""
    _refused(lambda: load_config(Path(_write("settings.toml", data))))


def settings_seeds() -> list[bytes]:
    return [
        b"[filter_heuristics.gopher]\nmin_words = 80\n",
        b'[publish.weights.shares]\ngames = 5\n[identify_language]\nlanguages = ["en"]\n',
        b"[prepare]\nunit_bytes = nan\nmax_error_share = 1e400\n[x]\n",
        b"block_urls = {hosts = [{path = '~x', sha256 = 1}]}\n",
        b"x = " + b"[" * 5000,
    ]


def read_training_settings(data: bytes) -> None:
    """A configuration of the trainer is one, or an error."""
    from trainer.config import read_config
    from trainer.tasks.pretrain_settings import PretrainSettings

    path, message = _write("training.toml", data), ""
    try:
        read_config(PretrainSettings, path)
    except ClickException as error:
        message = error.format_message()
    assert not message or path in message
    assert "\n" not in message


def training_settings_seeds() -> list[bytes]:
    return [
        b"[loop]\nsteps = 5\n[model]\nhidden_size = 64\n",
        b"[[data.sources]]\npath = 3\nshare = nan\n[loop.steps]\n",
        b"[model.experts]\nchoices = 1e400\n",
        b"x = " + b"[" * 5000,
    ]


def read_release_file(data: bytes) -> None:
    """The description of a release and its settings, or an error."""
    _write(RELEASE, data)
    _refused(lambda: read_stored_settings(read_release(str(_folder())), str(_folder())))


def release_seeds() -> list[bytes]:
    tables: dict[str, object] = {name: {} for name in ("content_sums", "files", "versions", "config")}
    whole = {**tables, "release": 1, "settings": "", "content_hash": "c", "inputs": [], ANNOTATIONS: []}
    texts = [whole, {**whole, "inputs": [{"name": 3}]}, {**whole, "settings": "x = ["}, {**whole, "inputs": None}]
    return [json.dumps(each).encode() for each in (*texts, {**tables, "release": 1, "settings": ""}, {"release": 1})]


def read_results(data: bytes) -> None:
    """`status` and `audit` of an output whose manifest, run and report are these bytes."""
    for name in ("manifest.json", "run.json", "report.json"):
        _write(name, data)
    for command in (read_status, audit_output):
        _refused(lambda command=command: command(str(_folder())))


def results_seeds() -> list[bytes]:
    files: dict[str, list[str]] = {"shards": [], "drops": [], "sketches": [], "candidates": []}
    whole = {"pages": 1, "kept": 1, "words": 2, "config": {}, **files}
    texts = [whole, {**whole, "shards": [{"path": 3}]}, {"work": 5}, [], {"pages": "x"}]
    return [json.dumps(each).encode() for each in texts]


# --- token stores ---


def read_tokens(data: bytes) -> None:
    """A token store whose summary is these bytes: its documents, or an error that names a file."""
    from trainer.data import token_files

    _write_store()
    _write("tokens.json", data)
    message, found = str(_folder()), []
    try:
        corpus = token_files.open_tokens(_folder(), "fuzz").corpus
        found = [corpus.document(number).tolist() for number in range(len(corpus))]
    except ClickException as error:
        message = error.format_message()
    assert str(_folder()) in message
    assert "\n" not in message
    assert found in ([], [_TOKENS[:3], _TOKENS[3:]])


_TOKENS = [0, 7, 8, 0, 9]


@cache
def _write_store() -> dict[str, object]:
    """Part 0 of a store with two documents, and its record."""
    _write("part-00000.tokens", np.array(_TOKENS, "<u2").tobytes())
    columns = {
        "start": [0, 3], "tokens": [3, 2], "weight": [1.0, 2.0], "key": [1, 2], "bytes": [2, 1],
        "quality_score": [0.5, None], "domain": ["a", "b"], "language": ["en", None],
    }  # fmt: skip
    _write("part-00000.parquet", _table(columns))
    hashes = {name: hashlib.sha256((_folder() / f"part-00000.{end}").read_bytes()).hexdigest()
              for name, end in (("tokens_sha256", "tokens"), ("index_sha256", "parquet"))}  # fmt: skip
    return {"shard": "s", "shard_sha256": "0", "documents": 2, "tokens": 5, "bytes": 3, **hashes}


def tokens_seeds() -> list[bytes]:
    part = _write_store()
    names = {"dataset": "d", "content_hash": "c", "tokenizer_sha256": "t", "type": "<u2"}
    whole = {**names, "documents": 2, "tokens": 5, "bytes": 3, "parts": [part]}
    texts = [
        whole,
        {**whole, "parts": [{**part, "tokens": "5"}]},
        {**whole, "parts": [{**part, "documents": 3}]},
        {**whole, "parts": []},
        {**whole, "type": "O"},
        {**whole, "blanked_parts": 3, "trained_fingerprint": []},
    ]
    return [json.dumps(each).encode() for each in texts]


def read_part(data: bytes) -> None:
    """One file of a store is these bytes: the first byte says which. The documents are what they were, or an error
    names the file; only a record that is one counts as finished."""
    from trainer.data import token_files
    from trainer.data.curated_dataset import Shard

    _fresh_store()
    name = PART_FILES[data[0] % len(PART_FILES)] if data else PART_FILES[0]
    before = (_folder() / name).read_bytes()
    _write(name, data[1:])
    shard = Shard("s", "s", "0", 2)
    finished = token_files.is_finished(_folder(), 0, shard, 2, VerifiedFiles(_folder()))
    message = ""
    try:
        corpus = token_files.open_tokens(_folder(), "fuzz").corpus
    except ClickException as error:
        message = error.format_message()
    if message:
        assert str(_folder() / name) in message
        assert not finished
    else:
        assert [corpus.document(number).tolist() for number in range(len(corpus))] == [_TOKENS[:3], _TOKENS[3:]]
        assert name.endswith(".json") or data[1:] == before


PART_FILES = ("part-00000.tokens", "part-00000.parquet", "part-00000.json")


def _fresh_store() -> None:
    for path in _folder().iterdir():
        if path.name.startswith(("part-", "tokens.json", "verified", "index")):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    _write_store.cache_clear()
    part = _write_store()
    _write("part-00000.json", json.dumps(part).encode())
    _write("tokens.json", tokens_seeds()[0])


def part_seeds() -> list[bytes]:
    _fresh_store()
    files = [(_folder() / name).read_bytes() for name in PART_FILES]
    return [bytes([number]) + content for number, content in enumerate(files)] + [b"\x02" + b"[" * 5000, b""]


TARGETS = {
    "warc": Target(read_warc, warc_seeds, ("pipeline.reading", "warcio")),
    "message": Target(read_message, message_seeds, ("pipeline.reading",)),
    "charset": Target(read_charset, charset_seeds, ("pipeline.extraction",)),
    "jsonl": Target(partial(read_documents_of, name="x.jsonl"), jsonl_seeds, DOCUMENT_MODULES),
    "packed_jsonl": Target(partial(read_documents_of, name="x.jsonl.gz"), packed_jsonl_seeds, DOCUMENT_MODULES),
    "rows": Target(partial(read_documents_of, name="x.parquet"), rows_seeds, DOCUMENT_MODULES),
    "html": Target(read_html, html_seeds, ("pipeline.extraction", "pipeline.stages", "trafilatura")),
    "listing": Target(read_listing, listing_seeds, ("pipeline.reading",)),
    "index": Target(read_index, index_seeds, ("pipeline.reading",)),
    "hosts": Target(read_hosts, hosts_seeds, ("pipeline.lists", "pipeline.storage")),
    "settings": Target(read_settings, settings_seeds, ("pipeline.config", "pipeline.settings")),
    "training_settings": Target(read_training_settings, training_settings_seeds, ("trainer.config",)),
    "release": Target(read_release_file, release_seeds, ("pipeline.release", "pipeline.storage")),
    "results": Target(read_results, results_seeds, ("pipeline.inspection", "pipeline.storage")),
    "tokens": Target(read_tokens, tokens_seeds, ("trainer.data",)),
    "part": Target(read_part, part_seeds, ("trainer.data",)),
}
