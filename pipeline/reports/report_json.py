"""report.json: the numbers of a run. Counts come from the published rows, CPU times from the units' tallies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pipeline.extraction.charset import Decoding
from pipeline.ledger import UNREADABLE, Tally, by_stage
from pipeline.publishing.statistics import Statistics, most_common
from pipeline.publishing.weights import DomainShare, removed_words
from pipeline.reports.run_warnings import run_warnings
from pipeline.reports.trends import compare_with_former
from pipeline.stages.order import STAGES
from pipeline.storage.layout import Layout

_MESSAGES = 10
_LANGUAGES = 200
_HOSTS = 100
_OPT_OUTS = 100
_LICENSES = 1_000  # more than there are
_FROM_MANIFEST = ("content_hash", "config", "files", "versions", "inputs")


def make_report(
    tally: Tally,
    statistics: Statistics,
    shares: Sequence[DomainShare],
    duplicates: Mapping[str, Any],
    manifest: Mapping[str, Any],
    run: Mapping[str, Any] | None = None,
    layout: Layout | None = None,
) -> dict[str, Any]:
    """All numbers, and the warnings computed from them; `run` is when, how long and by which command it ran.

    `layout` of a snapshot leads to the snapshots before it, with which the numbers are compared.
    """
    report = {
        **_pages(tally, statistics),
        **_kept_documents(statistics),
        "rights": _rights(statistics),
        "domains": [asdict(share) for share in shares],
        "duplicates": duplicates,
        "signals": _signals(statistics),
        "cpu_seconds": {name: round(tally.cpu_seconds[name], 3) for name in STAGES if name in tally.cpu_seconds},
        **{name: manifest[name] for name in _FROM_MANIFEST},
        "removed": removal_facts(manifest),
        "run": dict(run or {}),
    }
    report["trends"] = compare_with_former(report, layout) if layout else {}
    return {**report, "warnings": run_warnings(report)}


def removal_facts(manifest: Mapping[str, Any]) -> dict[str, int]:
    """Documents that were removed on request, and their words with which the weights were computed."""
    return {"documents": manifest.get("removed", 0), "words_in_weights": sum(removed_words(manifest).values())}


def _pages(tally: Tally, statistics: Statistics) -> dict[str, Any]:
    """The ledger: pages read, kept and dropped."""
    return {
        "pages": tally.pages,
        "kept": statistics.kept["documents"],
        "dropped": by_stage(statistics.dropped, STAGES),
        "unreadable": sum(statistics.dropped[fate] for fate in UNREADABLE),
        "failures": _rank_named(statistics.failures, _MESSAGES, "message", "pages"),
        "dropped_hosts": _rank(statistics.dropped_hosts, _HOSTS, "host", "pages"),
        "records": dict(sorted(tally.records.items())),
        "charset_steps": dict(most_common(statistics.charset_steps, len(Decoding))),
    }


def _kept_documents(statistics: Statistics) -> dict[str, Any]:
    """Words, languages, hosts and quality of the rows in the shards."""
    languages = _rank_named(statistics.languages, _LANGUAGES, "language", "documents")
    return {
        "words": statistics.kept["words"],
        "characters": statistics.kept["characters"],
        "tokens": statistics.kept.get("tokens"),  # null where no tokenizer was named
        "languages": [{**line, "words": statistics.language_words[line["language"]]} for line in languages],
        "counts": {
            "languages": len(statistics.languages.keys() - {"other"}),
            "sites": len(statistics.hosts.keys() - {"other"}),
            "sites_are_exact": "other" not in statistics.hosts,  # of a part, only the most frequent are stored
        },
        "hosts": _rank(statistics.hosts, _HOSTS, "host", "documents"),
        "quality": dict(sorted(statistics.quality.items())),
        "education": dict(sorted(statistics.education.items())),
        "group_sizes": dict(sorted(statistics.group_sizes.items(), key=lambda item: int(item[0]))),
        "rescan": {
            "documents": statistics.rescanned["documents"],
            "finds": {kind: n for kind, n in sorted(statistics.rescanned.items()) if kind != "documents"},
        },
    }


def _rights(statistics: Statistics) -> dict[str, Any]:
    """Opt-outs, with what respecting them costs, and licenses."""
    costs = most_common(statistics.opt_out_host_words, _HOSTS)
    listed = {host for host, _ in costs}
    pages = {host: count for host, count in statistics.opt_out_hosts.items() if host in listed - {"other"}}
    rest = statistics.opt_out_hosts.total() - sum(pages.values())
    licenses = most_common(statistics.licenses, _LICENSES)
    return {
        "opt_outs": [
            {"opt_out": name, "pages": count, "kept": statistics.opt_outs_kept[name]}
            for name, count in most_common(statistics.opt_outs, _OPT_OUTS)
        ],
        "dropped_words": dict(sorted(statistics.opt_out_words.items())),
        "hosts": [{"host": host, "pages": pages.get(host, rest), "words": words} for host, words in costs],
        "licenses": [
            {"license": name, "documents": count, "words": statistics.license_words[name]} for name, count in licenses
        ],
        "license_places": dict(sorted((name, n) for name, n in statistics.license_places.items() if n)),
    }


def _signals(statistics: Statistics) -> dict[str, dict[str, float]]:
    return {
        name: {
            "sum": statistics.signals[name],
            "documents": statistics.signal_documents[name],
            "dropped_sum": statistics.dropped_signals[name],
        }
        for name in sorted({*statistics.signals, *statistics.dropped_signals})
    }


def _rank(counts: Mapping[str, int], limit: int, name: str, number: str) -> list[dict[str, Any]]:
    """Largest first as {name: ..., number: ...}; the last may be the sum of all others ("other")."""
    return [{name: key, number: count} for key, count in most_common(counts, limit)]


def _rank_named(counts: Mapping[str, int], limit: int, name: str, number: str) -> list[dict[str, Any]]:
    """As `_rank`, without the sum of all others."""
    return [line for line in _rank(counts, limit, name, number) if line[name] != "other"]
