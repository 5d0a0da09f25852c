"""Whose folder this is (`run.json`, written first), what came out (`manifest.json`, last), and the report's numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pipeline import storage
from pipeline.extraction.charset import Decoding
from pipeline.ledger import Tally, by_stage
from pipeline.publishing.content_hash import content_hash
from pipeline.publishing.statistics import Facts, most_common
from pipeline.publishing.weights import Mixture
from pipeline.reports.run_warnings import alarms
from pipeline.stages.order import STAGES
from pipeline.storage.digests import fingerprint
from pipeline.storage.layout import Layout, read_json, remove_folder, write_json

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
                remove_folder(storage.join(layout.root, kind))
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
    identity: Mapping[str, Any], files: Mapping[str, Sequence[Mapping[str, Any]]], books: Tally, facts: Facts
) -> dict[str, Any]:
    """Nothing of the clock or the machine: the same input, settings and code give the same bytes."""
    return {
        "format": FORMAT,
        "content_hash": content_hash(files),
        "fingerprint": fingerprint(identity),
        "pages": books.pages,
        "kept": books.kept,
        "words": facts.kept["words"],
        "characters": facts.kept["characters"],
        "dropped": books.dropped.total(),
        **{kind: [{k: v for k, v in file.items() if k != "content"} for file in files[kind]] for kind in files},
        **identity,
    }


def make_report(
    tally: Tally, facts: Facts, lines: Sequence[Mixture], duplicates: Mapping[str, Any], manifest: Mapping[str, Any]
) -> dict[str, Any]:
    """`report.json`: counts from the published rows, costs from the tallies."""
    report = _numbers(tally, facts, lines, duplicates, manifest)
    return {**report, "warnings": alarms(report)}


def _numbers(
    tally: Tally, facts: Facts, lines: Sequence[Mixture], duplicates: Mapping[str, Any], manifest: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "pages": tally.pages,
        "kept": facts.kept["documents"],
        "dropped": by_stage(facts.dropped, STAGES),
        "unreadable": facts.dropped["read_warc:unreadable"],
        "failures": [
            {"message": message, "pages": count}
            for message, count in most_common(facts.failures, 10)
            if message != "other"
        ],
        "charset_steps": dict(most_common(facts.charset_steps, len(Decoding))),
        "rescan": {
            "documents": facts.rescanned["documents"],
            "finds": {kind: n for kind, n in sorted(facts.rescanned.items()) if kind != "documents"},
        },
        "records": dict(sorted(tally.records.items())),
        "words": facts.kept["words"],
        "characters": facts.kept["characters"],
        "content_hash": manifest["content_hash"],
        "domains": [asdict(line) for line in lines],
        "languages": [
            {"language": name, "documents": count, "words": facts.language_words[name]}
            for name, count in most_common(facts.languages, 200)
            if name != "other"
        ],
        "hosts": [{"host": name, "documents": count} for name, count in most_common(facts.hosts, 100)],
        "dropped_hosts": [{"host": name, "pages": count} for name, count in most_common(facts.dropped_hosts, 100)],
        "quality": dict(sorted(facts.quality.items())),
        "group_sizes": dict(sorted(facts.group_sizes.items(), key=lambda item: int(item[0]))),
        "duplicates": duplicates,
        "signals": {
            name: {
                "sum": facts.signals[name],
                "documents": facts.signal_documents[name],
                "dropped_sum": facts.dropped_signals[name],
            }
            for name in sorted({*facts.signals, *facts.dropped_signals})
        },
        "cpu_seconds": {name: round(tally.cpu_seconds[name], 3) for name in STAGES if name in tally.cpu_seconds},
        "config": manifest["config"],
        "files": manifest["files"],
        "versions": manifest["versions"],
        "inputs": manifest["inputs"],
    }
