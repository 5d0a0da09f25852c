"""The summary that `gristmill curate` prints at its end: the funnel, the warnings, and the paths of the files."""

from __future__ import annotations

from pipeline.stages.order import STAGES
from pipeline.storage.layout import Layout, read_report

BAR = 30  # characters
_REASONS = 3  # shown of each stage


def funnel(layout: Layout) -> str:
    """The pages left after every stage, warnings, the paths of the output, and Python code that reads it."""
    report = read_report(layout)
    pages = report["pages"]
    lines = [f"{'pages read':<20}{pages:>10,}  {'█' * BAR}"]
    left = pages
    for stage in STAGES:
        reasons = report["dropped"].get(stage, {})
        if not reasons:
            continue
        lost = sum(reasons.values())
        left -= lost
        shown = ", ".join(f"{reason} {count:,}" for reason, count in list(reasons.items())[:_REASONS])
        more = f", {len(reasons) - _REASONS} more reasons" if len(reasons) > _REASONS else ""
        lines.append(f"{stage:<20}{left:>10,}  {_bar(left, pages)}  -{lost:,}: {shown}{more}")
    lines.append(f"{'kept':<20}{report['kept']:>10,}  {_bar(report['kept'], pages)}  {report['words']:,} words")
    warnings = [f"warning: {text}" for text in report.get("warnings", ())]
    return "\n".join([*lines, *warnings, "", *_list_files(layout), "", f"content hash {report['content_hash']}"])


def _bar(count: int, total: int) -> str:
    full = round(BAR * count / total) if total else 0
    return "█" * full + "·" * (BAR - full)


def _list_files(layout: Layout) -> list[str]:
    root = layout.root.rstrip("/")
    return [
        f"kept     {root}/shards/*.parquet      dropped   {root}/drops/*.parquet",
        f"report   {root}/report.html",
        "look     import pyarrow.dataset as ds",
        f"         table = ds.dataset({root + '/shards'!r}).to_table(columns=['url', 'domain', 'weight', 'text'])",
        "         print(table.slice(0, 5).to_pylist())",
    ]
