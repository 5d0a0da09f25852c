"""run.json and manifest.json of an output folder.

run.json is written first and names the run that the folder belongs to; manifest.json is written last and lists the
published files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pipeline import storage
from pipeline.errors import RunFailedError, UserError
from pipeline.ledger import Tally
from pipeline.publishing.content_hash import column_sums, content_hash, content_sums
from pipeline.publishing.statistics import Statistics
from pipeline.storage.digests import fingerprint
from pipeline.storage.layout import Layout, read_manifest, read_run, write_json
from pipeline.storage.own_files import remove_published

WITH_COLUMN_SUMS = ("shards", "drops", "duplicates")
_OF_FILES = ("path", "rows", "bytes", "sha256")
_RESTORE = "restore it or curate again"
FORMAT = 2  # of the output, described in FORMAT.md; increased when programs that read it have to change


def claim(layout: Layout, identity: Mapping[str, Any], local: Mapping[str, Any], *, overwrite: bool) -> None:
    """Claims the output folder for this run; a folder that this run claimed before is resumed.

    `identity` is everything that the rows depend on. `local` is stored beside it for `gristmill explain` on this
    machine: paths of the input files, and the settings with local paths. A run whose only difference is further input
    goes on in the folder: its units are kept. Raises UserError, with the first differences, when the folder belongs to
    a run with other settings, code or input.
    """
    started: dict[str, Any] = {}
    if storage.exists(layout.run):
        previous = read_run(layout)
        differences = list(_differences(previous["identity"], identity))
        added = count_added_inputs(previous["identity"], identity)
        if added and not overwrite:
            _check_work(Layout(layout.root, previous["work"]), added)
        elif differences and not overwrite:
            shown = "; ".join(differences[:4]) + (f"; {len(differences) - 4} more" if len(differences) > 4 else "")
            raise UserError(
                f"{layout.root} belongs to another run ({shown}). "
                "Choose another --output, or --overwrite to replace it (units that are still valid are kept)"
            )
        if differences:
            remove_published(Layout(layout.root, previous["work"]))
        elif "started" in previous:  # a resumed run began with its first process
            started = {"started": previous["started"]}
    write_json(layout.run, {"identity": identity, "work": layout.key, **local, **started})


def count_added_inputs(old: Mapping[str, Any], new: Mapping[str, Any]) -> int:
    """How many input files `new` has besides those of `old`; 0 unless that is the only difference."""
    if {**old, "inputs": None} != {**new, "inputs": None}:
        return 0
    return len(new["inputs"]) - len(old["inputs"]) if all(item in new["inputs"] for item in old["inputs"]) else 0


def _check_work(layout: Layout, added: int) -> None:
    if not storage.list_names(layout.folder("tally")):
        raise UserError(
            f"{layout.root}: its work files are removed, so its own input would be read again with the {added:,} files "
            "to add; do that by --overwrite (without --no-keep-work, files can be added later without it)"
        )


def _differences(old: Any, new: Any, path: str = "") -> Iterable[str]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted({*old, *new}):
            yield from _differences(old.get(key), new.get(key), f"{path}.{key}" if path else key)
    elif old != new:
        short = [str(value)[:40] + ("…" if len(str(value)) > 40 else "") for value in (old, new)]
        yield f"{path.removeprefix('config.')}: was {short[0]}, is {short[1]}"


def is_complete(layout: Layout) -> bool:
    """Whether the run is finished: the manifest is written after all other files."""
    return storage.exists(layout.manifest)


def check_kept(output: str) -> None:
    """Raises UserError for an output that is not finished, and RunFailedError for a finished one without a document.

    Nobody should go on with such an output unawares.
    """
    layout = Layout(output)
    if not is_complete(layout):
        raise UserError(f"{output}: no manifest.json; give the --output of a finished `gristmill curate`")
    if not read_manifest(layout)["kept"]:
        raise RunFailedError(f"nothing was kept; {layout.report_html} has the reasons")


def check_parts(layout: Layout, kinds: Sequence[str]) -> None:
    """Raises DamagedFileError for a part that is in the manifest and missing, or on this machine without a footer.

    What is made from the other parts alone would miss pages and not say so.
    """
    manifest = read_manifest(layout)
    for kind in kinds:
        present = set(storage.list_names(storage.join(layout.root, kind)))
        for path in (entry["path"] for entry in manifest[kind]):
            place = storage.join(layout.root, path)
            if path.rpartition("/")[2] not in present:
                raise storage.DamagedFileError(f"{place}: is missing, but in manifest.json; {_RESTORE}")
            if not storage.is_remote(place):
                try:
                    storage.count_rows(place)
                except storage.DamagedFileError as error:
                    raise storage.DamagedFileError(f"{error.message}; {_RESTORE}") from None


def make_manifest(
    identity: Mapping[str, Any], files: Mapping[str, Sequence[Mapping[str, Any]]], ledger: Tally, statistics: Statistics
) -> dict[str, Any]:
    """The manifest. It holds no time and no path of this machine: equal input, settings and code give equal bytes."""
    return {
        "format": FORMAT,
        "content_hash": content_hash(files),
        "content_sums": {kind: f"{value:064x}" for kind, value in content_sums(files).items()},
        "column_sums": {kind: column_sums(files[kind]) for kind in WITH_COLUMN_SUMS},
        "fingerprint": fingerprint(identity),
        "pages": ledger.pages,
        "kept": ledger.kept,
        "words": statistics.kept["words"],
        "characters": statistics.kept["characters"],
        "dropped": ledger.dropped.total(),
        **{kind: [{name: file[name] for name in _OF_FILES} for file in files[kind]] for kind in files},
        **identity,
    }
