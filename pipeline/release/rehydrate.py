"""`gristmill rehydrate`: from a release without texts back to the dataset, by fetching the records that it names.

Ranges of one file that lie close together are fetched by one request. Each page passes the stages with the settings of
the release; its title and text must have the hashes of the release, or it is listed as not had, with the reason. A part
that is finished is not fetched again, so the same command resumes; with `retry`, what a finished part lacks is. With
every page had, the shards have the rows, and the dataset the content hash, of the original. Requests share one pace on
this machine (storage/pace.py).
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from pipeline import effects, storage
from pipeline.config import Config
from pipeline.deduplication.sketch import remove_lines
from pipeline.documents import Document, Dropped, Page
from pipeline.errors import UserError
from pipeline.page_process.chain import open_worker
from pipeline.page_process.killable_process import KillableWorker, PageLost
from pipeline.publishing.content_hash import MODULUS, hash_sums
from pipeline.publishing.manifest import FORMAT
from pipeline.publishing.part_writer import PartWriter
from pipeline.publishing.provenance import file_digests, versions, without_secrets
from pipeline.reading.ranges import coalesce
from pipeline.release.annotations import (
    ANNOTATIONS,
    RELEASE,
    TEXTS,
    complete,
    read_annotations,
    read_release,
    read_settings,
)
from pipeline.stages.read_input import read_record
from pipeline.stages.read_warc import read_stored_record
from pipeline.storage.layout import Layout, check_entries, check_sums, check_types, read_json, write_json
from pipeline.storage.lease import hold_lease
from pipeline.storage.own_files import check_apart, check_free, find_leftovers

log = logging.getLogger("gristmill")

PARTS = "rehydrated"  # folder of the results of parts, and of a note which release they are of
_NOTE = f"{PARTS}/{RELEASE}"
COMMON_CRAWL = "https://data.commoncrawl.org/"


@dataclass(frozen=True, slots=True)
class Rehydration:
    """What came of it."""

    content_hash: str
    is_equal: bool  # to the content hash of the release
    documents: int
    missing: int
    reasons: tuple[tuple[str, int], ...] = ()  # why documents are missing, the most frequent first


def rehydrate(
    release: str, output: str, source: str = "", overrides: Sequence[str] = (), *, retry: bool = False
) -> Rehydration:
    """Makes the dataset of a release in a folder; `source` is put before the names of its input files.

    `overrides`: `table.key=value` settings, such as where a model of the release is. With `retry`, documents that an
    earlier call could not have are fetched again. Raises UserError for a folder that holds something else.
    """
    values = read_release(release)
    config, source = read_settings(values, release, overrides), source or _usual_source(values)
    layout = Layout(output)
    check_apart(output, [release])
    check_free(layout.root, _NOTE, "content_hash")  # before the lease, which writes
    for change in list_changes(values, config):
        log.warning("rehydrate: %s", change)
    with hold_lease(layout.lease):
        _claim(layout, values)
        results = [
            _rehydrate_part(release, entry, values, config, layout, source, retry) for entry in values[ANNOTATIONS]
        ]
        return _finish(values, layout, results)


def _claim(layout: Layout, values: Mapping[str, Any]) -> None:
    """Notes in a new folder which release it is for. Raises UserError for a folder with other files."""
    note = storage.join(layout.root, _NOTE)
    check_free(layout.root, _NOTE, "content_hash")
    storage.remove_files(find_leftovers(layout.root, "shards", PARTS))
    if not storage.exists(note):
        write_json(note, {"content_hash": values["content_hash"]})
    elif read_json(note)["content_hash"] != values["content_hash"]:
        raise UserError(f"{layout.root}: holds another release's dataset; choose a new folder")


def list_changes(values: Mapping[str, Any], config: Config) -> list[str]:
    """Versions, lists and models that are not those of the release: their texts may have other hashes.

    Only lists and models that are read here: the release names those of drops and scores as well.
    """
    then: Mapping[str, Mapping[str, str]] = {name: values[name] for name in ("versions", "files")}
    now = {"versions": versions(), "files": file_digests(config)}
    compared = {
        "versions": now["versions"].keys() | then["versions"].keys(),
        "files": now["files"].keys() & then["files"].keys(),
    }
    return [
        f"other {kind} than the release was made with: {', '.join(different[:6])}"
        for kind, names in compared.items()
        if (different := sorted(name for name in names if now[kind].get(name) != then[kind].get(name)))
    ]


def _usual_source(values: Mapping[str, Any]) -> str:
    if all(entry["name"].startswith("crawl-data/") for entry in values["inputs"]):
        return COMMON_CRAWL
    raise UserError("name where the input files of the release are: --source FOLDER, or an https://, s3:// address")


def _rehydrate_part(
    release: str,
    entry: Mapping[str, Any],
    values: Mapping[str, Any],
    config: Config,
    layout: Layout,
    source: str,
    retry: bool,
) -> dict[str, Any]:
    """The result of one part, which is stored once its shard is: {"file": ..., "content": ..., "missing": [...]}."""
    name = entry["path"].rsplit("/", 1)[-1]
    stored = storage.join(layout.root, PARTS, name.replace(".parquet", ".json"))
    shard = storage.join(layout.root, "shards", name)
    known: dict[str, dict[str, str]] = {}  # texts of an earlier call by id
    if storage.exists(stored):
        found = _read_result(stored)
        if storage.exists(shard) and storage.size(shard) == found["file"]["bytes"]:
            if not (retry and found["missing"]):
                return found
            known = {row["id"]: {text: row[text] for text in TEXTS} for row in storage.read_rows(shard)}
    storage.remove(layout.manifest)  # it names the shard as it was
    rows = list(read_annotations(release, entry))
    with storage.read_parquet(storage.join(release, entry["path"])) as parquet:
        schema = _shard_schema(parquet.schema_arrow)
    wanted = [number for number, row in enumerate(rows) if row["id"] not in known]
    with open_worker(config) as worker:
        texts, reasons = _fetch_texts(rows, wanted, config, worker, source)
    texts |= {number: known[row["id"]] for number, row in enumerate(rows) if row["id"] in known}
    missing = []
    with PartWriter(shard, schema).open() as writer:
        for number, row in enumerate(rows):
            try:
                if number in reasons:
                    raise ValueError(reasons[number])
                writer.write(complete(row, texts[number]))
            except ValueError as error:
                missing.append({"id": row["id"], "url": row["url"], "reason": str(error)})
    written = writer.manifest_entry()
    file = {column: written[column] for column in ("path", "rows", "bytes", "sha256")}
    result = {"file": file, "content": written["content"], "missing": missing}
    write_json(stored, result)
    log.info("rehydrate: %s, %d of %d documents", name, file["rows"], len(rows))
    return result


def _read_result(path: str) -> dict[str, Any]:
    """What an earlier call has stored of a part. Raises DamagedFileError."""
    found = read_json(path, {"file": dict, "content": str, "missing": list})
    check_types(found["file"], {"path": str, "rows": int, "bytes": int, "sha256": str}, path)
    check_entries(found["missing"], "reason", path)
    check_sums({"content": found["content"]}, path)
    return found


def _shard_schema(annotations: pa.Schema) -> pa.Schema:
    """The columns of the shard that the annotations were made from, title and text where they were."""
    fields = [field for field in annotations if not field.name.endswith("_sha256")]
    place = [field.name for field in fields].index("language")
    return pa.schema([*fields[:place], pa.field("title", pa.string()), pa.field("text", pa.string()), *fields[place:]])


# --- fetching and reading ---


def _fetch_texts(
    rows: Sequence[Mapping[str, Any]], wanted: Sequence[int], config: Config, worker: KillableWorker, source: str
) -> tuple[dict[int, dict[str, str]], dict[int, str]]:
    """Title and text by the number of the row, for wanted rows, and for the others why they could not be had."""
    texts: dict[int, dict[str, str]] = {}
    reasons: dict[int, str] = {}
    files: dict[str, list[int]] = {}
    for number in wanted:
        files.setdefault(rows[number]["warc_file"], []).append(number)
    for name, numbers in sorted(files.items()):
        path = storage.join(source, name)
        for number, read in _read_pages(path, name, numbers, rows, config):
            try:
                texts[number] = _extract(read(), rows[number], worker)
            except (storage.StorageError, UserError, ValueError) as error:
                reasons[number] = _explain(error, path, name)
    return texts, reasons


def _explain(error: Exception, path: str, name: str) -> str:
    """One line without the address of the file, in which `--source` may have a password: it is stored."""
    return without_secrets(" ".join(str(error).replace(path, name).split()))[:300]


def _read_pages(
    path: str, name: str, numbers: Sequence[int], rows: Sequence[Mapping[str, Any]], config: Config
) -> Iterator[tuple[int, Callable[[], Page | Dropped]]]:
    """(number of the row, a function that returns its page); records with a length by ranges, others from the file."""
    places = {number: (rows[number]["warc_offset"], rows[number]["warc_length"]) for number in numbers}
    alone = [number for number in numbers if places[number][1] is None]
    others = sorted((number for number in numbers if number not in set(alone)), key=lambda number: places[number])
    for (start, end), group in coalesce([(places[n][0], places[n][0] + places[n][1]) for n in others]):
        fetched = _fetch(path, start, end)
        for position in group:
            number = others[position]
            offset, length = places[number]

            def read(fetched: Any = fetched, at: int = offset - start, length: int = length) -> Page | Dropped:
                return read_stored_record(fetched()[at : at + length], name, config.read_warc)

            yield number, read
    for number in alone:
        offset = places[number][0]
        yield number, lambda offset=offset: read_record(path, offset, name, config.read_warc, config.read_documents)  # type: ignore[misc]


def _fetch(path: str, start: int, end: int) -> Callable[[], bytes]:
    """A function that fetches the range at its first call; if that fails, every call fails alike."""
    kept: list[bytes | Exception] = []

    def fetched() -> bytes:
        if not kept:
            try:
                with (
                    storage.open_binary(path, start, end=end, length=end) as file,
                    storage.explain_errors(path, "read"),
                ):
                    kept.append(effects.read_fully(file, end - start))
            except storage.StorageError as error:
                kept.append(error)
        if isinstance(kept[0], Exception):
            raise kept[0]
        return kept[0]

    return fetched


def _extract(page: Page | Dropped, row: Mapping[str, Any], worker: KillableWorker) -> dict[str, str]:
    """Title and text of the page. Raises ValueError where it is another page, or is dropped."""
    if isinstance(page, Dropped):
        raise ValueError(f"the record is no page any more ({page.stage}: {page.reason})")
    if page.id != row["id"]:
        raise ValueError("another capture than the release was made from")
    answer = worker.run(replace(page, warc_offset=row["warc_offset"], warc_file=row["warc_file"]))
    if isinstance(answer, PageLost):
        raise ValueError(f"the page could not be processed ({answer.as_drop(page).reason})")
    if not isinstance(answer.result, Document):
        raise ValueError(f"the page is dropped now ({answer.result.stage}: {answer.result.reason})")
    text = remove_lines(answer.result.text, row["removed_lines"] or ())
    return {"title": answer.result.title, "text": text}


# --- the end ---


def _finish(values: Mapping[str, Any], layout: Layout, results: Sequence[Mapping[str, Any]]) -> Rehydration:
    """Writes missing.json and, last, the manifest."""
    shards = sum(int(result["content"], 16) for result in results) % MODULUS
    sums = {"shards": shards, "drops": int(values["content_sums"]["drops"], 16)}
    content_hash, missing = hash_sums(sums), [line for result in results for line in result["missing"]]
    documents = sum(result["file"]["rows"] for result in results)
    write_json(storage.join(layout.root, "missing.json"), {"documents": missing})
    manifest = {
        "format": FORMAT,
        "content_hash": content_hash,
        "content_sums": {name: f"{value:064x}" for name, value in sums.items()},
        "rehydrated_from": values["content_hash"],
        "documents": documents,
        "missing": len(missing),
        "shards": [result["file"] for result in results],
        **{name: values[name] for name in ("config", "files", "versions", "inputs")},
    }
    write_json(layout.manifest, manifest)
    reasons = tuple(Counter(line["reason"] for line in missing).most_common())
    return Rehydration(content_hash, content_hash == values["content_hash"], documents, len(missing), reasons)
