"""Alarms over time: the numbers of a snapshot beside those of the snapshots before it.

A number is compared with that of its predecessor. It is an alarm if the step is more than twice the largest former
step, more than five standard errors (a small snapshot differs by chance), and more than two points of a share, or a
fifth of another number. With a single predecessor there is no former step, and the other two limits decide.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import nlargest, nsmallest
from itertools import pairwise
from typing import Any

from pipeline import storage
from pipeline.extraction.charset import Decoding
from pipeline.publishing.snapshot import NAME
from pipeline.reports.formatting import measure, share, words
from pipeline.stages.order import STAGES
from pipeline.storage.layout import Layout, read_report

_DECODINGS = [str(step) for step in Decoding]  # by the value of `charset_step`
_FORMER = 24  # snapshots before this one that are read
_STEPS, _ERRORS = 2.0, 5.0
_POINTS, _RELATIVE = 0.02, 0.2
_PAGES = 3  # named with an alarm
_LARGEST = 12  # languages and domains that are followed


@dataclass(frozen=True, slots=True)
class Metric:
    """One number of a snapshot."""

    value: float
    is_share: bool = True
    pages: int = 0  # of which a share is computed
    view: str = "shards"  # or drops: where pages show it ...
    column: str = ""  # ... by the value of this column ("signals.NAME" for a measurement)
    wanted: str | float | None = None  # None: the pages with the most extreme values

    def show(self) -> str:
        """The number for a reader."""
        return share(self.value) if self.is_share else measure(self.value)


def read_metrics(report: Mapping[str, Any]) -> dict[str, Metric]:
    """The numbers of report.json that are followed, by name."""
    pages, kept = report["pages"] or 1, report["kept"] or 1
    found = {"pages kept": Metric(report["kept"] / pages, pages=pages)}
    for stage in STAGES:
        lost = sum(report["dropped"].get(stage, {}).values())
        found[f"dropped by {words(stage)}"] = Metric(lost / pages, True, pages, "drops", "stage", stage)
    for line in report["languages"][:_LARGEST]:
        name = line["language"]
        found[f"language {name}"] = Metric(line["documents"] / kept, True, kept, "shards", "language", name)
    for line in report["domains"][:_LARGEST]:
        name = line["domain"]
        found[f"domain {words(name)}"] = Metric(line["actual"], True, kept, "shards", "domain", name)
    charsets = sum(report["charset_steps"].values()) or 1
    for step, count in report["charset_steps"].items():
        wanted = float(_DECODINGS.index(step))
        found[f"charset by {words(step)}"] = Metric(
            count / charsets, True, charsets, "shards", "signals.charset_step", wanted
        )
    quality = sum(float(edge) * count for edge, count in report["quality"].items()) / kept
    finds = report["signals"].get("pii_finds", {}).get("sum", 0.0)
    found["words of a page"] = Metric(report["words"] / kept, False, column="words")
    found["mean quality score"] = Metric(quality, False, column="quality_score")
    found["personal data of a page"] = Metric(finds / kept, False, column="signals.pii_finds")
    return found


def read_former(layout: Layout) -> list[tuple[str, dict[str, Metric]]]:
    """Name and numbers of the complete snapshots before this one, oldest first; none where it is no snapshot."""
    base, _, name = layout.root.rstrip("/").rpartition("/")
    if not base or not NAME.fullmatch(name):
        return []
    earlier = [
        Layout(storage.join(base, other))
        for other in storage.list_names(base)
        if NAME.fullmatch(other) and other < name
    ]
    found = []
    for each in [each for each in earlier if storage.exists(each.manifest)][-_FORMER:]:
        try:
            found.append((each.root.rsplit("/", 1)[-1], read_metrics(read_report(each))))
        except storage.StorageError:  # of another version: it says nothing about this snapshot
            continue
    return found


def compare_with_former(report: Mapping[str, Any], layout: Layout) -> dict[str, Any]:
    """`snapshots`, `series` by number (null where a snapshot has none) and `alarms`; empty without predecessors."""
    former = read_former(layout)
    if not former:
        return {}
    name = layout.root.rstrip("/").rpartition("/")[2]
    now = read_metrics(report)
    names = dict.fromkeys(key for _, metrics in [*former, (name, now)] for key in metrics)
    tables = [*(metrics for _, metrics in former), now]
    series = {key: [metrics[key].value if key in metrics else None for metrics in tables] for key in names}
    alarms = list(_find_alarms([metrics for _, metrics in former], now, former[-1][0], layout))
    return {"snapshots": [*(each for each, _ in former), name], "series": series, "alarms": alarms}


def _find_alarms(
    former: Sequence[Mapping[str, Metric]], now: Mapping[str, Metric], before: str, layout: Layout
) -> Iterator[str]:
    for name in dict.fromkeys([*former[-1], *now]):
        old = former[-1].get(name)
        new = now.get(name)
        last, metric = (
            old or Metric(0.0, new.is_share if new else True),
            new or Metric(0.0, old.is_share if old else True),
        )
        values = [metrics[name].value if name in metrics else 0.0 for metrics in former]
        if abs(metric.value - last.value) > _allowed(last, metric, values):
            # What is gone is shown by the former pages.
            shown, where = (metric, layout) if new else (last, _sibling(layout, before))
            pages = ", ".join(_example_pages(where, shown, rises=metric.value > last.value))
            steps = max((abs(b - a) for a, b in pairwise(values)), default=None)
            usual = "" if steps is None else f", former steps were at most {Metric(steps, metric.is_share).show()}"
            yield f"{name}: {metric.show()} after {last.show()} in {before}{usual}{f' (see {pages})' if pages else ''}"


def _sibling(layout: Layout, name: str) -> Layout:
    return Layout(storage.join(layout.root.rstrip("/").rpartition("/")[0], name))


def _allowed(last: Metric, now: Metric, values: Sequence[float]) -> float:
    """The largest step that is no alarm."""
    steps = [abs(b - a) for a, b in pairwise(values)]
    usual = _STEPS * max(steps, default=0.0)
    if not now.is_share:
        return max(usual, _RELATIVE * max(abs(last.value), 1e-9))
    variance = sum(m.value * (1 - m.value) / m.pages for m in (last, now) if m.pages)
    return max(usual, _ERRORS * float(variance**0.5), _POINTS)


def _example_pages(layout: Layout, metric: Metric, *, rises: bool) -> Iterable[str]:
    """Pages of the first part that are counted by the number; of a mean, those that raise or lower it most."""
    if not metric.column:
        return []
    with storage.read_parquet(layout.part(metric.view, 0)) as parquet:
        batches = parquet.iter_batches(columns=["url", metric.column])
        rows = ((_value_of(row, metric.column), row["url"]) for batch in batches for row in batch.to_pylist())
        known = ((value, url) for value, url in rows if value is not None)
        if metric.wanted is not None:
            return [url for value, url in known if value == metric.wanted][:_PAGES]
        extreme = nlargest if rises else nsmallest
        return [url for _, url in extreme(_PAGES, known)]


def _value_of(row: Mapping[str, Any], column: str) -> Any:
    """
    >>> _value_of({"signals": {"a": 2.0}}, "signals.a")
    2.0
    """
    name, _, signal = column.partition(".")
    return (row[name] or {}).get(signal) if signal else row[name]
