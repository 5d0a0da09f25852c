"""Statistics of a dataset's rows: counted part by part, then added up for the manifest and the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from pipeline.extraction.charset import Decoding
from pipeline.ledger import FAILURES
from pipeline.publishing.weights import HIGHEST_EDUCATION

QUALITY_BINS = 20  # of each score
_DECODINGS = list(Decoding)  # a row stores the index as signal "charset_step"
MESSAGES_PER_PART = 50
MESSAGE_CHARACTERS = 200
HOSTS_PER_PART = 5_000  # less frequent hosts of a part are stored as one sum, which bounds the size of the statistics


@dataclass(slots=True)
class Statistics:
    """Counters over published rows; the statistics of two parts are added counter by counter."""

    kept: Counter[str] = field(default_factory=Counter)  # documents, words, characters, tokens, duplicates
    dropped: Counter[str] = field(default_factory=Counter)  # pages by "stage:reason"
    languages: Counter[str] = field(default_factory=Counter)  # documents
    language_words: Counter[str] = field(default_factory=Counter)
    hosts: Counter[str] = field(default_factory=Counter)  # documents by registered domain
    dropped_hosts: Counter[str] = field(default_factory=Counter)  # pages by registered domain
    quality: Counter[str] = field(default_factory=Counter)  # documents by lower edge of the bin
    education: Counter[str] = field(default_factory=Counter)
    group_sizes: Counter[str] = field(default_factory=Counter)  # documents by size of their duplicate group (1: unique)
    opt_outs: Counter[str] = field(default_factory=Counter)  # pages by opt-out, kept and dropped ones
    opt_outs_kept: Counter[str] = field(default_factory=Counter)  # documents by opt-out that was only recorded
    opt_out_words: Counter[str] = field(default_factory=Counter)  # words of the pages that it dropped, by reason
    opt_out_hosts: Counter[str] = field(default_factory=Counter)  # pages dropped for an opt-out, by registered domain
    opt_out_host_words: Counter[str] = field(default_factory=Counter)  # and their words
    licenses: Counter[str] = field(default_factory=Counter)  # documents
    license_words: Counter[str] = field(default_factory=Counter)
    license_places: Counter[str] = field(default_factory=Counter)  # documents
    signals: Counter[str] = field(default_factory=Counter)  # sums over kept documents
    signal_documents: Counter[str] = field(default_factory=Counter)  # kept documents in which the signal is not zero
    dropped_signals: Counter[str] = field(default_factory=Counter)  # sums over dropped pages that were measured
    charset_steps: Counter[str] = field(default_factory=Counter)  # pages with text, by how their charset was found
    rescanned: Counter[str] = field(default_factory=Counter)  # documents scanned a second time, and finds by kind
    failures: Counter[str] = field(default_factory=Counter)  # pages by the error message of the stage that failed

    def keep(self, row: Mapping[str, Any]) -> None:
        """Counts a row of a shard."""
        self.kept.update(documents=1, words=row["words"], characters=row["characters"], duplicates=row["duplicates"])
        if row.get("tokens") is not None:
            self.kept["tokens"] += row["tokens"]
        self.languages[row["language"]] += 1
        self.language_words[row["language"]] += row["words"]
        self.hosts[row["registered_domain"]] += 1
        self.quality[_bin_of(row["quality_score"], 1)] += 1
        self.education[_bin_of(row["education_score"], HIGHEST_EDUCATION)] += 1
        self.group_sizes[str(row["duplicates"] + 1)] += 1
        self.opt_outs.update(row.get("opt_outs") or ())
        self.opt_outs_kept.update(row.get("opt_outs") or ())
        self._count_license(row)
        for name, value in _nonzero_signals(row):
            self.signals[name] += value  # type: ignore[assignment]  # a Counter adds floats as well
            self.signal_documents[name] += 1
        self._count_charset(row)

    def rescan(self, finds: Iterable[str]) -> None:
        """Counts a second scan of a published text, and the kinds of personal data that it found."""
        self.rescanned["documents"] += 1
        self.rescanned.update(finds)

    def drop(self, row: Mapping[str, Any]) -> None:
        """Counts a row of drops/."""
        fate = f"{row['stage']}:{row['reason']}"
        self.dropped[fate] += 1
        if fate in FAILURES:
            self.failures[row["detail"][:MESSAGE_CHARACTERS]] += 1
        self.dropped_hosts[row["registered_domain"] or ""] += 1
        self._count_opt_outs(row)
        for name, value in _nonzero_signals(row):
            self.dropped_signals[name] += value  # type: ignore[assignment]
        self._count_charset(row)

    def _count_opt_outs(self, row: Mapping[str, Any]) -> None:
        self.opt_outs.update(row.get("opt_outs") or ())
        if row["stage"] == "check_rights" and row["reason"] != "license":
            words, host = int(row["value"]), row["registered_domain"] or ""
            self.opt_out_words[row["reason"]] += words
            self.opt_out_hosts[host] += 1
            self.opt_out_host_words[host] += words

    def _count_license(self, row: Mapping[str, Any]) -> None:
        license = row.get("license") or ""
        self.licenses[license] += 1
        self.license_words[license] += row["words"]
        if license:
            self.license_places[row["license_place"]] += 1
            self.license_places["disagree"] += row["license_disagrees"]

    def _count_charset(self, row: Mapping[str, Any]) -> None:
        step = (row["signals"] or {}).get("charset_step")
        if step is not None:
            self.charset_steps[_DECODINGS[int(step)].value] += 1

    def add(self, other: Statistics) -> None:
        """Adds the counts of `other`."""
        for item in fields(self):
            getattr(self, item.name).update(getattr(other, item.name))

    def to_json(self) -> dict[str, dict[str, Any]]:
        """JSON values in a fixed order; the less frequent hosts and messages are added up as "other"."""
        values = {item.name: dict(sorted(getattr(self, item.name).items())) for item in fields(self)}
        for name in ("hosts", "dropped_hosts"):
            values[name] = dict(most_common(getattr(self, name), HOSTS_PER_PART))
        costs = dict(most_common(self.opt_out_host_words, HOSTS_PER_PART))
        pages = {host: self.opt_out_hosts[host] for host in costs if host != "other"}
        rest = self.opt_out_hosts.total() - sum(pages.values())
        values["opt_out_host_words"], values["opt_out_hosts"] = costs, {**pages, **({"other": rest} if rest else {})}
        values["failures"] = dict(most_common(self.failures, MESSAGES_PER_PART))
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Mapping[str, Any]]) -> Statistics:
        """The inverse of `to_json`."""
        return cls(**{name: Counter(counts) for name, counts in values.items()})


def _bin_of(score: float, highest: float) -> str:
    """Lower edge of the score's bin."""
    return f"{min(int(score / highest * QUALITY_BINS), QUALITY_BINS - 1) / QUALITY_BINS * highest:.2f}"


def _nonzero_signals(row: Mapping[str, Any]) -> list[tuple[str, float]]:
    return [(name, value) for name, value in (row["signals"] or {}).items() if value]


def most_common(counts: Mapping[str, Any], limit: int) -> list[tuple[str, Any]]:
    """The `limit` largest counts, ties by name; the sum of all others follows as "other"."""
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    rest = sum(count for _, count in ranked[limit:])
    return ranked[:limit] + ([("other", rest)] if rest else [])
