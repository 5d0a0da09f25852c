"""`gristmill release --annotations`: a dataset without its texts, from which `gristmill rehydrate` makes it again.

    release.json                  what the texts depend on (settings of text_settings.py, versions, hashes of lists and
                                  models) and the sums by which the dataset made from it is checked
    annotations/part-N.parquet    the rows of shards/ without title and text, with the SHA-256 of each

Ids, URLs, places in WARC files, scores, labels and weights are facts about pages; nothing of their wording is released.
Dropped pages are not part of it: their excerpts are text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
from pydantic import ValidationError

from pipeline import storage
from pipeline.config import Config, read_portable_json, to_portable_json
from pipeline.errors import UserError
from pipeline.publishing.part_writer import PartWriter
from pipeline.release.text_settings import check_own_models, keep_text_settings, name_own_models, without_places
from pipeline.settings import explain_refusal, read_stored
from pipeline.storage.layout import Layout, check_entries, check_sums, read_json, read_manifest, read_run, write_json

RELEASE, ANNOTATIONS = "release.json", "annotations"
FORMAT = 1
TEXTS = ("title", "text")
_OF_MANIFEST = (
    "content_hash", "content_sums", "pages", "kept", "dropped", "words", "characters", "files", "versions", "inputs",
    "config",
)  # fmt: skip


def release_annotations(output: str, target: str) -> dict[str, Any]:
    """Writes the release of a finished output into a folder of open_new_folder; release.json is written last."""
    layout = Layout(output)
    manifest, run = read_manifest(layout), read_run(layout)
    if "content_sums" not in manifest:
        raise UserError(f"{output}: of format {manifest['format']}, without record lengths; curate it again")
    config = read_stored(Config, run["settings"], layout.run)
    parts = [_write_part(layout, entry["path"], target) for entry in manifest["shards"]]
    values = {
        "release": FORMAT,
        "settings": to_portable_json(name_own_models(keep_text_settings(config))),
        **{name: manifest[name] for name in _OF_MANIFEST},
        "config": without_places(manifest["config"]),
        ANNOTATIONS: parts,
    }
    write_json(storage.join(target, RELEASE), values)
    return values


def _write_part(layout: Layout, path: str, target: str) -> dict[str, Any]:
    source = storage.join(layout.root, path)
    with storage.read_parquet(source) as parquet:
        schema = parquet.schema_arrow
    place = storage.join(target, ANNOTATIONS, path.rsplit("/", 1)[-1])
    with PartWriter(place, annotation_schema(schema)).open() as writer:
        for row in storage.read_rows(source):
            writer.write(annotate(row))
    entry = writer.manifest_entry()
    return {name: entry[name] for name in ("path", "rows", "bytes", "sha256")}


def annotation_schema(schema: pa.Schema) -> pa.Schema:
    """The columns of a shard without the texts, and a hash for each text."""
    kept = [field for field in schema if field.name not in TEXTS]
    return pa.schema([*kept, *(pa.field(f"{name}_sha256", pa.string()) for name in TEXTS)])


def annotate(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of a shard without its texts."""
    return {
        **{name: value for name, value in row.items() if name not in TEXTS},
        **{f"{name}_sha256": hash_text(row[name]) for name in TEXTS},
    }


def complete(annotation: Mapping[str, Any], texts: Mapping[str, str]) -> dict[str, Any]:
    """The row of the shard again. Raises ValueError, which names the text, if one has another hash."""
    for name in TEXTS:
        if hash_text(texts[name]) != annotation[f"{name}_sha256"]:
            raise ValueError(f"another {name} than the release was made from")
    return {**{name: value for name, value in annotation.items() if not name.endswith("_sha256")}, **texts}


def hash_text(text: str) -> str:
    """SHA-256 of a text, in UTF-8."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def read_release(target: str) -> dict[str, Any]:
    """What release.json says. Raises UserError, which names the file, for one that is damaged or of another version."""
    path = storage.join(target, RELEASE)
    tables = dict.fromkeys(("content_sums", "files", "versions", "config"), dict)
    values = read_json(path, {"release": int, "settings": str, "content_hash": str, **tables})
    if values["release"] != FORMAT:
        raise UserError(f"{path}: of format {values['release']}, this version of gristmill reads {FORMAT}")
    check_entries(values[ANNOTATIONS], "path", path)
    check_entries(values["inputs"], "name", path)
    check_sums(values["content_sums"], path)
    return values


def read_settings(values: Mapping[str, Any], target: str, overrides: Sequence[str] = ()) -> Config:
    """The settings of a release, with the paths that they have on this machine and with overrides of --set."""
    try:
        config = keep_text_settings(read_portable_json(values["settings"], overrides))
    except ValidationError as error:
        reason = explain_refusal(Config, error)
        if overrides:
            raise UserError(f"--set: {reason}") from None
        raise UserError(f"{storage.join(target, RELEASE)}: of another version of gristmill ({reason})") from None
    check_own_models(config, target)
    return config


def read_annotations(target: str, entry: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The rows of one part."""
    return storage.read_rows(storage.join(target, entry["path"]))
