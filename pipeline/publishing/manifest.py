"""Whose folder this is (`run.json`, written first), what came out (`manifest.json`, last), and the report's numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pipeline import storage
from pipeline.ledger import Tally
from pipeline.publishing.content_hash import content_hash
from pipeline.publishing.statistics import Statistics
from pipeline.storage.digests import fingerprint
from pipeline.storage.layout import Layout, read_json, write_json

FORMAT = 1  # raised when a reader would have to change


def claim(layout: Layout, identity: Mapping[str, Any], here: Mapping[str, Any], *, overwrite: bool) -> None:
    """Takes the output folder for this run, or resumes it; `here` is what others on this machine need (paths, units).

    Raises ValueError when it holds a run of other settings, code or input, naming the first differences.
    """
    if storage.exists(layout.run):
        former = read_json(layout.run)
        differences = list(_differences(former["identity"], identity))
        if differences and not overwrite:
            shown = "; ".join(differences[:4]) + (f"; {len(differences) - 4} more" if len(differences) > 4 else "")
            raise ValueError(
                f"{layout.root} belongs to another run ({shown}). "
                "Choose another --output, or --overwrite to replace it (units that are still valid are kept)"
            )
        if differences:
            storage.remove(layout.manifest)  # first: no reader may see a mixture
            for kind in ("shards", "drops", "sketches"):
                storage.remove_folder(storage.join(layout.root, kind))
    elif storage.exists(layout.manifest):
        raise ValueError(f"{layout.root} has a manifest.json but no run.json: choose another --output")
    write_json(layout.run, {"identity": identity, "work": layout.key, **here})


def _differences(old: Any, new: Any, path: str = "") -> Iterable[str]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted({*old, *new}):
            yield from _differences(old.get(key), new.get(key), f"{path}.{key}" if path else key)
    elif old != new:
        short = [str(value)[:40] + ("…" if len(str(value)) > 40 else "") for value in (old, new)]
        yield f"{path.removeprefix('config.')}: {short[0]} there, {short[1]} now"


def is_complete(layout: Layout) -> bool:
    """A manifest is only ever written over a complete output."""
    return storage.exists(layout.manifest)


def make_manifest(
    identity: Mapping[str, Any], files: Mapping[str, Sequence[Mapping[str, Any]]], ledger: Tally, statistics: Statistics
) -> dict[str, Any]:
    """Nothing of the clock or the machine: the same input, settings and code give the same bytes."""
    return {
        "format": FORMAT,
        "content_hash": content_hash(files),
        "fingerprint": fingerprint(identity),
        "pages": ledger.pages,
        "kept": ledger.kept,
        "words": statistics.kept["words"],
        "characters": statistics.kept["characters"],
        "dropped": ledger.dropped.total(),
        **{kind: [{k: v for k, v in file.items() if k != "content"} for file in files[kind]] for kind in files},
        **identity,
    }
