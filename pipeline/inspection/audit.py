"""`gristmill audit`: checks that an output agrees with its manifest and has the documented properties.

Every Parquet file is read three times: for its SHA-256, for its schema (only the footer) and for its rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline import storage
from pipeline.deduplication.settings import DeduplicateSettings
from pipeline.errors import UserError
from pipeline.inspection.check import Check, RowCheck
from pipeline.inspection.check_content import CountCheck, PersonalDataCheck, WeightCheck
from pipeline.inspection.check_copies import CopiesCheck
from pipeline.inspection.check_duplicates import NearDuplicateCheck, check_sketches
from pipeline.inspection.check_files import SCHEMAS, Paths, check_files, check_schema
from pipeline.inspection.check_ledger import ContentHashCheck, FateCheck, LedgerCheck, SurvivorCheck
from pipeline.inspection.check_removal import RemovalCheck, find_lists
from pipeline.inspection.find_pages import parquet_files
from pipeline.lists.suppressions import SuppressionList, read_suppressions
from pipeline.publishing.weights import WeightSettings, removed_words
from pipeline.settings import read_stored
from pipeline.stages.scrub_pii import ScrubPiiSettings
from pipeline.storage.layout import JSONL, Layout, read_manifest, read_report


def audit_output(output: str) -> list[Check]:
    """The result of every check. Raises UserError where there is no finished output."""
    layout = Layout(output)
    if not storage.exists(layout.manifest):
        raise UserError(f"{output}: no manifest.json, so this is no finished output; run `gristmill curate` again")
    manifest = read_manifest(layout)
    paths = {kind: parquet_files(layout, kind) for kind in SCHEMAS}
    if JSONL in manifest:
        folder = storage.join(layout.root, JSONL)
        paths[JSONL] = [storage.join(folder, name) for name in storage.list_names(folder)]
    file_results = [check_files(layout, paths, manifest), check_schema(paths)]
    if not all(check.ok for check in file_results):
        return [*file_results, Check("rows", False, "not checked, because the files are not as expected")]
    removed = read_suppressions(find_lists(layout))
    row_checks = _make_row_checks(layout, manifest, paths, removed)
    _read_rows(paths, row_checks)
    deduplicate = read_stored(DeduplicateSettings, manifest["config"]["deduplicate"], layout.manifest)
    sketch_result = check_sketches(paths["sketches"], manifest["kept"], deduplicate)
    return [*file_results, *(check.result() for check in row_checks), sketch_result]


def _make_row_checks(
    layout: Layout, manifest: Mapping[str, Any], paths: Paths, removed: SuppressionList
) -> list[RowCheck]:
    config, path = manifest["config"], layout.manifest
    return [
        ContentHashCheck(manifest["content_hash"]),
        LedgerCheck(manifest, read_report(layout)),
        FateCheck(manifest["pages"]),
        SurvivorCheck(manifest["pages"]),
        CopiesCheck(paths["duplicates"]),
        *([RemovalCheck(removed)] if removed.entries else []),
        CountCheck(),
        PersonalDataCheck(read_stored(ScrubPiiSettings, config["scrub_pii"], path)),
        WeightCheck(read_stored(WeightSettings, config["publish"]["weights"], path), removed_words(manifest)),
        NearDuplicateCheck(read_stored(DeduplicateSettings, config["deduplicate"], path)),
    ]


def _read_rows(paths: Paths, checks: list[RowCheck]) -> None:
    """Gives every row to every check."""
    for path in paths["shards"]:
        for row in storage.read_rows(path):
            for check in checks:
                check.add_kept(row)
    for path in paths["drops"]:
        for row in storage.read_rows(path):
            for check in checks:
                check.add_dropped(row)
