"""The answer of `gristmill whatif` for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pipeline.inspection.explain_text import WIDTH, printable
from pipeline.inspection.sample import format_table
from pipeline.reports.formatting import measure, share
from pipeline.whatif.answer import Answer, PageChange, Side

_SHOWN = 12  # changed settings


def describe_answer(found: Answer) -> str:
    """Totals, what is lost and won, the mixture, and pages of each side."""
    names = ", ".join(found.changed[:_SHOWN]) + (" ..." if len(found.changed) > _SHOWN else "")
    lines = [
        *(f"! {line}" for line in found.warnings),
        f"changed  {names or 'no setting'}",
        _total("kept", found.kept_before, found.kept_after, found.kept_interval, "pages"),
        _total("words", found.words_before, found.words_after, found.words_interval, ""),
        _how(found),
    ]
    for title, side in (("lost", found.lost), ("won", found.won)):
        lines += ["", *_describe_side(title, side)]
    lines += ["", *_describe_mixture(found.mixture)]
    for title, side in (("lost", found.lost), ("won", found.won)):
        if side.examples:
            lines += ["", f"pages {title}", *map(_describe_page, side.examples)]
    return "\n".join(lines)


def _total(name: str, before: int, after: int, interval: tuple[int, int] | None, unit: str) -> str:
    change = f"{after - before:+,}" + (f", {(after - before) / before:+.2%}" if before else "")
    between = f"   between {interval[0]:,} and {interval[1]:,}" if interval else ""
    return f"{name:<9}{before:,} → {after:,} {unit}".rstrip() + f" ({change}){between}"


def _how(found: Answer) -> str:
    if not found.undecided:
        return "exact    from stored measurements and keys; no page was read"
    pages = f"{found.undecided:,} pages are not decided by what is stored; {found.replayed:,} of them were replayed"
    return f"{'exact' if found.exact else 'estimate':<9}{pages}"


def _describe_side(title: str, side: Side) -> Iterator[str]:
    yield f"{title}: {side.pages:,} pages, {side.words:,} words"
    for name, counts in (
        ("rule", side.by_rule),
        ("domain", side.by_domain),
        ("language", side.by_language),
        ("site", side.by_host),
    ):
        if counts:
            text = ", ".join(f"{printable(key) or '(none)'} {count:,}" for key, count in list(counts.items())[:6])
            yield f"  by {name:<9}{text}"[:WIDTH]


def _describe_mixture(lines: Sequence[Mapping[str, float]]) -> Iterator[str]:
    names = ["domain", "words", "after", "share", "after", "weighted", "after", "repeated", "after"]
    moved = [line for line in lines if line["words_before"] != line["words_after"] or _weights_move(line)]
    rows = [
        [
            line["domain"], f"{line['words_before']:,}", f"{line['words_after']:,}",
            share(line["actual_before"]), share(line["actual_after"]),
            share(line["weighted_before"]), share(line["weighted_after"]),
            f"{line['repetitions_before']:.2f}", f"{line['repetitions_after']:.2f}",
        ]
        for line in moved
    ]  # fmt: skip
    yield format_table(names, rows).rstrip() if rows else "the mixture stays as it is"


def _weights_move(line: Mapping[str, float]) -> bool:
    return f"{line['repetitions_before']:.2f}" != f"{line['repetitions_after']:.2f}"


def _describe_page(page: PageChange) -> str:
    value = ""
    if page.value is not None:
        limits = f"limit {measure(page.old_limit) or 'off'} → {measure(page.new_limit) or 'off'}"
        value = f"   {page.measurement} {measure(page.value)}, {limits}"
    return f"  {page.before} → {page.after}{value}   {page.words:,} words\n    {printable(page.url) or page.id}"
