"""`gristmill remove`: take pages out of an output, or of all snapshots of a folder.

    1  the suppression list is written, so that no later run brings the pages back
    2  every row of shards/ and drops/ is compared with the request; the ids that fit are removed, and with a kept
       document the dropped pages whose excerpts repeat its text
    3  the files of the parts concerned are written again under new part numbers
    4  the record of what was done, then the manifest: from now on the output is without the pages
    5  the old files are deleted, report and card are made again, the work folder is deleted, latest.json is updated

A removed page keeps an empty row in drops/ with the fate suppress:removed, so that the ledger balances. Every other row
stays as it was, its weight included: `removed_words` in the manifest says which words the weights were computed with.
`--reweigh` computes all weights anew from the words that are left (reweigh.py).
A run that was killed is finished by the same command. Nothing is read twice; time is that of one pass over the key
columns, and over all texts where a text is to be removed (1 ms of CPU a document).
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import storage
from pipeline.errors import UserError
from pipeline.lists.suppressions import list_path, read_suppressions
from pipeline.publishing.provenance import short_name
from pipeline.publishing.snapshot import complete_snapshots, update_latest
from pipeline.publishing.weights import WeightSettings, removed_words, weight_table
from pipeline.release.refresh import (
    change_manifest,
    count_words_again,
    is_refreshed,
    list_strays,
    refresh,
    sum_rows,
)
from pipeline.release.reweigh import reweigh_part
from pipeline.release.rewrite import Change, Entry, rewrite_part
from pipeline.release.selectors import Request
from pipeline.settings import read_stored
from pipeline.stages.suppress import stored_lists
from pipeline.storage.digests import fingerprint, sha256_of_file
from pipeline.storage.layout import (
    JSONL,
    PUBLISHED,
    REMOVALS,
    Layout,
    check_types,
    read_manifest,
    read_record,
    read_run,
    write_json,
)
from pipeline.storage.lease import check_lease, hold_lease
from pipeline.storage.own_files import remove_leftovers, remove_work

log = logging.getLogger("gristmill")

_KEYS = ["id", "url", "host", "registered_domain"]


@dataclass(slots=True)
class Removal:
    """What was removed from one output; stored below OUT/removals, without anything that was removed."""

    request: str  # fingerprint of what was asked
    before: str  # content hash
    after: str = ""
    documents: dict[str, str] = field(default_factory=dict)  # id of a kept document -> kind of selector, or "copy"
    pages: dict[str, str] = field(default_factory=dict)  # the same of pages that had been dropped
    words: int = 0
    files: list[dict[str, Any]] = field(default_factory=list)  # entries of the manifest before and after
    reweighed: bool = False  # all weights were computed anew

    @property
    def is_empty(self) -> bool:
        return not self.documents and not self.pages


def remove(root: str, request: Request, *, copies: bool = False, reweigh: bool = False) -> dict[str, Removal]:
    """Removes from an output, or from every finished snapshot of a folder, what fits; {output: what was done}.

    With `copies`, kept documents of which a removed page was a duplicate are removed as well. With `reweigh`, weights
    that count removed words, of this removal or of earlier ones, are computed anew. Raises UserError where there is no
    finished output, LockedError where a run writes it.
    """
    outputs = find_outputs(root)
    listed = list_path(root)
    found: dict[str, Removal] = {}
    for output in outputs:
        with hold_lease(Layout(output).lease):
            if output == outputs[0]:
                remove_leftovers(Layout(root))
                if request.selectors:
                    write_suppressions(listed, request)
            earlier = {document for removal in found.values() for document in removal.documents}
            found[output] = _remove_from_output(Layout(output), request, listed, copies, reweigh, earlier)
        if output != root:
            update_latest(root)
    return found


def find_outputs(root: str) -> list[str]:
    """The output at this address, or the finished snapshots below it, oldest first; raises as `remove` does."""
    if storage.exists(Layout(root).manifest):
        return [root]
    outputs = [storage.join(root, name) for name in complete_snapshots(root)]
    if not outputs:
        check_lease(Layout(root).lease)  # `curate --overwrite` takes the manifest back: it is not missing
        raise UserError(f"{root}: no manifest.json here or in a snapshot; give a finished output of `gristmill curate`")
    return outputs


def write_suppressions(path: str, request: Request) -> None:
    """Adds the request to the suppression list of an output."""
    present = read_suppressions([path] if storage.exists(path) else [])
    write_json(path, present.plus(request.suppressions.entries).to_json())


def _remove_from_output(
    layout: Layout, request: Request, listed: str, copies: bool, reweigh: bool, earlier: set[str]
) -> Removal:
    remove_leftovers(layout)
    manifest = read_manifest(layout)
    if "content_sums" not in manifest:
        manifest = {**manifest, **sum_rows(layout, manifest)}
    storage.remove_files(list_strays(layout, manifest))
    key = fingerprint([asdict(entry) for entry in request.suppressions.entries], copies)
    record = storage.join(layout.root, REMOVALS, f"{key}.json")
    ids = find_ids(layout, manifest, request, copies, earlier)
    changed = manifest
    if ids["shards"] or ids["drops"]:
        removal, changed = _rewrite(layout, manifest, ids, key)
        write_json(record, _join(record, removal))
    is_honored = storage.exists(listed)
    changed = _honor_in_manifest(changed, listed, layout.manifest) if is_honored else changed
    if changed != manifest:
        write_json(layout.manifest, changed)
    if reweigh and removed_words(changed):
        removal, changed = _reweigh(layout, changed, key)
        write_json(record, _join(record, removal))
        write_json(layout.manifest, changed)
    if not is_refreshed(layout, changed):
        refresh(layout, changed)
    run = read_run(layout)
    honored = _honor_in_run(run, listed, layout.run) if is_honored else run
    if honored != run:
        write_json(layout.run, honored)
    remove_work(layout)
    return _read_record(record, key, changed["content_hash"])


# --- what fits ---

Found = dict[str, dict[str, str]]  # shards, drops -> id -> why


def find_ids(
    layout: Layout, manifest: Mapping[str, Any], request: Request, copies: bool, earlier: Collection[str] = ()
) -> Found:
    """The ids to remove, of kept documents and of dropped pages, each with the kind of its selector or `copy`.

    `earlier`: documents removed from earlier snapshots, whose duplicates were dropped here.
    """
    found: Found = {"shards": {}, "drops": {}}
    if not request.selectors:
        return found
    duplicates: dict[str, set[str]] = {}  # survivor -> dropped pages
    survivors: dict[str, str] = {}  # of dropped pages
    texts = {"shards": ["text"], "drops": ["excerpt", "text"]} if request.has_texts else {}
    for kind in ("shards", "drops"):
        columns = [*_KEYS, *texts.get(kind, []), *(["duplicate_of", "stage"] if kind == "drops" else [])]
        for entry in manifest[kind]:
            with storage.read_parquet(storage.join(layout.root, entry["path"])) as parquet:
                for batch in parquet.iter_batches(batch_size=1024, columns=columns):
                    table = pa.Table.from_batches([batch])
                    if kind == "drops":
                        table = table.filter(pc.not_equal(table["stage"], "suppress"))
                        _note_survivors(table, duplicates, survivors)
                    found[kind].update(request.find_ids(table, texts.get(kind, [])))
    if copies:
        for page in found["drops"]:
            if page in survivors:
                found["shards"].setdefault(survivors[page], _COPY)
    for document in (*found["shards"], *earlier):
        for page in duplicates.get(document, ()):
            found["drops"].setdefault(page, _COPY)
    return _only_present(layout, manifest, found)


_COPY = "copy"


def _note_survivors(table: pa.Table, duplicates: dict[str, set[str]], survivors: dict[str, str]) -> None:
    named = table.filter(pc.is_valid(table["duplicate_of"]))
    for page, survivor in zip(named["id"].to_pylist(), named["duplicate_of"].to_pylist(), strict=True):
        duplicates.setdefault(survivor, set()).add(page)
        survivors[page] = survivor


def _only_present(layout: Layout, manifest: Mapping[str, Any], found: Found) -> Found:
    """Without survivors that are not in this output but in that of an earlier snapshot."""
    copies = {document for document, why in found["shards"].items() if why == _COPY}
    if copies:
        present = {
            document
            for entry in manifest["shards"]
            for document in _read_ids(storage.join(layout.root, entry["path"]))
            if document in copies
        }
        found["shards"] = {key: why for key, why in found["shards"].items() if why != _COPY or key in present}
    return found


def _read_ids(path: str) -> list[str]:
    with storage.read_parquet(path) as parquet:
        return list(parquet.read(columns=["id"])["id"].to_pylist())


# --- rewriting ---


def _rewrite(layout: Layout, manifest: Mapping[str, Any], ids: Found, key: str) -> tuple[Removal, dict[str, Any]]:
    """Writes the parts concerned; returns what was done and the manifest that names the new files."""
    wanted = {*ids["shards"], *ids["drops"]}
    kinds = [kind for kind in (*PUBLISHED, JSONL) if manifest.get(kind)]
    parts = _parts_of(manifest, kinds)
    number = 1 + max(parts)
    entries: dict[str, list[Entry]] = {kind: list(manifest[kind]) for kind in kinds}
    change = Change()
    for part, files in parts.items():
        if not _holds_any(layout, files, wanted):
            continue
        log.info("remove: part %d of %s", part, layout.root)
        new, changed = rewrite_part(layout, files, number, wanted)
        for kind, entry in new.items():
            entries[kind][entries[kind].index(files[kind])] = entry
        change.add(changed)
        number += 1
    after = change_manifest(manifest, change, entries)
    removal = Removal(
        key, manifest["content_hash"], after["content_hash"], ids["shards"], ids["drops"], change.words, change.files
    )
    return removal, after


def _reweigh(layout: Layout, manifest: Mapping[str, Any], key: str) -> tuple[Removal, dict[str, Any]]:
    """Writes the parts in which a weight changes; returns what was done and the manifest with the new files."""
    kinds = [kind for kind in (*PUBLISHED, JSONL) if manifest.get(kind)]
    parts = _parts_of(manifest, kinds)
    number = 1 + max(parts)
    entries: dict[str, list[Entry]] = {kind: list(manifest[kind]) for kind in kinds}
    weights = read_stored(WeightSettings, manifest["config"]["publish"]["weights"], layout.manifest)
    table = weight_table(count_words_again(layout, manifest), weights)
    change = Change()
    for part, files in parts.items():
        new, changed = reweigh_part(layout, files, number, table)
        if new:
            log.info("remove: new weights in part %d of %s", part, layout.root)
            for kind, entry in new.items():
                entries[kind][entries[kind].index(files[kind])] = entry
            change.add(changed)
            number += 1
    after = {**change_manifest(manifest, change, entries), "removed_words": []}
    before = manifest["content_hash"]
    return Removal(key, before, after["content_hash"], files=change.files, reweighed=True), after


def _parts_of(manifest: Mapping[str, Any], kinds: Sequence[str]) -> dict[int, dict[str, Entry]]:
    """The entries of each part by kind; the files of a part have one number."""
    parts: dict[int, dict[str, Entry]] = {}
    for kind in kinds:
        for entry in manifest[kind]:
            number = int(entry["path"].rpartition("part-")[2].partition(".")[0])
            parts.setdefault(number, {})[kind] = entry
    return dict(sorted(parts.items()))


def _holds_any(layout: Layout, files: Mapping[str, Entry], ids: set[str]) -> bool:
    """Whether a file of the part has a row of these ids; a member of a group may be in another part than its page."""
    wanted = pa.array(sorted(ids), pa.string())
    for kind in ("shards", "drops"):
        with storage.read_parquet(storage.join(layout.root, files[kind]["path"])) as parquet:
            for group in range(parquet.num_row_groups):
                if pc.any(pc.is_in(parquet.read_row_group(group, columns=["id"])["id"], value_set=wanted)).as_py():
                    return True
    return False


# --- the identity of the run ---


def honor(identity: Mapping[str, Any], listed: str, path: str) -> dict[str, Any]:
    """The identity of a run, read from `path`, that reads the suppression list, as the output's next run will."""
    check_types(identity, {"config": dict, "files": dict}, path)
    name = short_name(listed)
    config = _set_lists(identity["config"], sorted({*stored_lists(identity["config"], path), name}))
    files = {**identity["files"], f"suppress:{name}": sha256_of_file(listed)}
    return {**identity, "config": config, "files": dict(sorted(files.items()))}


def _honor_in_manifest(manifest: Mapping[str, Any], listed: str, path: str) -> dict[str, Any]:
    changed = honor(manifest, listed, path)
    identity = {name: changed[name] for name in ("config", "files", "versions", "inputs")}
    return {**changed, "fingerprint": fingerprint(identity)}


def _honor_in_run(run: Mapping[str, Any], listed: str, path: str) -> dict[str, Any]:
    lists = sorted({*stored_lists(run["settings"], path), listed}, key=short_name)
    settings = _set_lists(run["settings"], lists)
    return {**run, "identity": honor(run["identity"], listed, path), "settings": settings}


def _set_lists(settings: Mapping[str, Any], lists: list[str]) -> dict[str, Any]:
    return {**settings, "suppress": {**settings.get("suppress", {}), "lists": lists}}


# --- the record ---


def _join(path: str, removal: Removal) -> dict[str, Any]:
    """The removal as JSON, with what an earlier call for the same request has removed."""
    if storage.exists(path):
        earlier = _read_removal(path)
        if earlier.after == removal.after and (earlier.reweighed or not removal.reweighed):
            return asdict(earlier)  # a killed call has written it
        removal.before = earlier.before
        removal.documents = {**earlier.documents, **removal.documents}
        removal.pages = {**earlier.pages, **removal.pages}
        removal.words += earlier.words
        removal.files = [*earlier.files, *removal.files]
        removal.reweighed |= earlier.reweighed
    return asdict(removal)


def _read_record(path: str, key: str, content_hash: str) -> Removal:
    if storage.exists(path):
        return _read_removal(path)
    return Removal(key, content_hash, content_hash)


def _read_removal(path: str) -> Removal:
    texts, tables = dict.fromkeys(("request", "before", "after"), str), dict.fromkeys(("documents", "pages"), dict)
    return read_record(path, Removal, {**texts, **tables, "words": int, "files": list})


def describe(found: Mapping[str, Removal]) -> str:
    """One line an output for the terminal."""
    lines = []
    for output, removal in found.items():
        counts = f"{len(removal.documents):,} documents ({removal.words:,} words), {len(removal.pages):,} dropped pages"
        weights = ", weights as before (--reweigh computes them anew)" if removal.documents else ""
        weights = ", weights computed anew" if removal.reweighed else weights
        lines.append(f"{output}: {counts if not removal.is_empty else 'nothing fits'}{weights}")
    return "\n".join(lines)


def kinds_of(removal: Removal) -> dict[str, int]:
    """How many pages each kind of selector removed."""
    counts: dict[str, int] = {}
    for why in (*removal.documents.values(), *removal.pages.values()):
        counts[why] = counts.get(why, 0) + 1
    return dict(sorted(counts.items()))
