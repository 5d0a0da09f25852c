"""What `gristmill curate` prints at its end: the funnel, and how to look at the result."""

from __future__ import annotations

from pipeline.stages.order import STAGES
from pipeline.storage.layout import Layout, read_json

BAR = 30


def funnel(layout: Layout) -> str:
    """The pages left after every stage, where the files are, and three lines to look at them."""
    report = read_json(layout.report)
    pages = report["pages"]
    lines = [f"{'pages read':<20}{pages:>10,}  {'█' * BAR}"]
    left = pages
    for stage in STAGES:
        reasons = report["dropped"].get(stage, {})
        if not reasons:
            continue
        left -= sum(reasons.values())
        told = ", ".join(f"{reason} {count:,}" for reason, count in list(reasons.items())[:3])
        more = f", {len(reasons) - 3} more reasons" if len(reasons) > 3 else ""
        lines.append(f"{stage:<20}{left:>10,}  {_bar(left, pages)}  -{sum(reasons.values()):,}: {told}{more}")
    lines.append(f"{'kept':<20}{report['kept']:>10,}  {_bar(report['kept'], pages)}  {report['words']:,} words")
    warnings = [f"warning: {text}" for text in report.get("warnings", ())]
    return "\n".join([*lines, *warnings, "", *look(layout), "", f"content hash {report['content_hash']}"])


def _bar(count: int, total: int) -> str:
    full = round(BAR * count / total) if total else 0
    return "█" * full + "·" * (BAR - full)


def look(layout: Layout) -> list[str]:
    """Where things are, and a first look at them with what is installed already."""
    root = layout.root.rstrip("/")
    return [
        f"shards   {root}/shards/*.parquet      why pages are out   {root}/drops/*.parquet",
        f"report   {root}/report.html",
        "look     import pyarrow.dataset as ds",
        f"         table = ds.dataset({root + '/shards'!r}).to_table(columns=['url', 'domain', 'weight', 'text'])",
        "         print(table.slice(0, 5).to_pylist())",
    ]
