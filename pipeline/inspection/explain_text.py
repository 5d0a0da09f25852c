"""Format an explanation for a terminal of 100 columns: the stages in order, each with its changes of the text."""

from __future__ import annotations

import difflib
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pipeline.inspection.explain import Explanation
from pipeline.inspection.limits import Measurement
from pipeline.inspection.replay import StageResult
from pipeline.reports.formatting import measure

WIDTH = 100
_HEAD_LINES, _TAIL_LINES = 12, 4  # shown of a text that was just extracted
_DIFF_LINES = 40
_INDENT = "     "


def describe(found: Iterable[Explanation]) -> str:
    """All captures, one after the other."""
    return ("\n\n" + "═" * WIDTH + "\n\n").join(map(_describe_capture, found))


def _describe_capture(found: Explanation) -> str:
    lines = [
        printable(found.url) or "(no URL)",
        f"{found.fetched_at or 'no date'}   id {found.id}   {found.place}",
        *(f"! {line}" for text in found.warnings for line in textwrap.wrap(text, WIDTH - 2)),
    ]
    for number, stage in enumerate(found.stages, 1):
        lines += ["", *_describe_stage(number, stage)]
    lines += ["", *_conclusion(found)]
    return "\n".join(lines)


def printable(text: str) -> str:
    """Control characters replaced, so that a page cannot move the cursor or change the colors of a terminal."""
    return "".join(char if char.isprintable() else "�" for char in text)


def _describe_stage(number: int, stage: StageResult) -> Iterator[str]:
    time = f"{1000 * stage.cpu_seconds:,.0f} ms" if stage.cpu_seconds else ""
    mark = {"passed": "passed", "changed": "passed, text changed", "dropped": "DROPPED"}[stage.outcome]
    if stage.outcome == "changed" and stage.before is None:
        mark = "passed"
    head = f"{number:>2}. {stage.name:<20} {mark}"
    if stage.outcome == "dropped":
        head += f": {stage.reason}" + _exceeded_limit(stage)
    yield f"{head:<{WIDTH - 10}}{time:>10}".rstrip()
    for line in textwrap.wrap(printable(stage.detail), WIDTH - len(_INDENT)):
        yield _INDENT + line
    yield from _text_changes(stage)
    yield from _measurement_table(stage.measurements)


def _exceeded_limit(stage: StageResult) -> str:
    if stage.value is None:
        return ""
    if stage.threshold is None:
        return f" ({measure(stage.value)})"
    sign = "<" if stage.value < stage.threshold else ">" if stage.value > stage.threshold else "="
    return f" (measured {measure(stage.value)} {sign} limit {measure(stage.threshold)})"


def _text_changes(stage: StageResult) -> Iterator[str]:
    if stage.after is None or stage.before == stage.after:
        return
    if stage.before is None:
        yield from _excerpt(stage.after)
    elif stage.outcome != "dropped" or stage.after:
        yield from _difference(stage.before, stage.after)


def _excerpt(text: str) -> Iterator[str]:
    lines = [part for line in text.splitlines() for part in _wrap(line)]
    if len(lines) <= _HEAD_LINES + _TAIL_LINES + 1:
        shown = lines
    else:
        hidden = len(lines) - _HEAD_LINES - _TAIL_LINES
        shown = [*lines[:_HEAD_LINES], f"… {hidden} more lines …", *lines[-_TAIL_LINES:]]
    yield from (f"{_INDENT}│ {line}".rstrip() for line in shown)


def _wrap(line: str) -> list[str]:
    return textwrap.wrap(printable(line), WIDTH - len(_INDENT) - 2) or [""]


def _difference(before: str, after: str) -> Iterator[str]:
    changes = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=0)
    lines = [line for line in changes if not line.startswith(("---", "+++", "@@"))]
    for line in lines[:_DIFF_LINES]:
        wrapped = _wrap(line[1:])
        yield from (
            f"{_INDENT}{line[0]} {part}".rstrip() for part in ([*wrapped[:6], "…"] if len(wrapped) > 7 else wrapped)
        )
    if len(lines) > _DIFF_LINES:
        yield f"{_INDENT}… {len(lines) - _DIFF_LINES} more changed lines …"


def _measurement_table(found: tuple[Measurement, ...]) -> Iterator[str]:
    limited = [item for item in found if item.margin is not None]
    if limited:
        yield f"{_INDENT}{'measurement':<40}{'value':>11}{'at least':>11}{'at most':>11}{'margin':>11}"
    for item in limited:
        mark = "  ← broken" if (item.margin or 0) < 0 else ""
        yield (
            f"{_INDENT}{item.name:<40}{measure(item.value):>11}{measure(item.low):>11}{measure(item.high):>11}"
            f"{measure(item.margin):>11}{mark}"
        )
    others = ", ".join(f"{item.name} {measure(item.value)}" for item in found if item.margin is None and item.value)
    if others:
        yield from (_INDENT + line for line in textwrap.wrap(f"also measured: {others}", WIDTH - len(_INDENT)))


def _conclusion(found: Explanation) -> Iterator[str]:
    yield "─" * WIDTH
    yield f"fate in the ledger   {found.ledger}"
    if found.agrees:
        yield "replay               the same"
    else:
        yield f"replay               {found.replayed}: NOT the same"
    if found.kept:
        kept = found.kept
        yield (
            f"in the shards        {kept['language']}, {kept['domain']}, quality {kept['quality_score']:.3f}, "
            f"education value {kept['education_score']:.2f}, {kept['words']:,} words, weight {kept['weight']:.3f}"
        )
    if found.survivor:
        yield from _survivor(found.survivor)
    if found.duplicates:
        number = found.kept["duplicates"] if found.kept else len(found.duplicates)
        yield f"copies               {number:,}" + (", among them" if number > len(found.duplicates) else "")
        yield from (f"                     {_copy(member)}" for member in found.duplicates)


def _copy(member: Mapping[str, Any]) -> str:
    """URL, reason, similarity and earlier output of a member of a group of duplicates."""
    facts = ["kept" if member["kept"] else member["reason"]]
    facts += [f"similarity {member['similarity']:.3f}"] if member["similarity"] is not None else []
    facts += [f"published by {printable(member['snapshot'])}"] if member["snapshot"] else []
    return f"{printable(member['url'] or member['id'])} ({', '.join(facts)})"


def _survivor(survivor: Mapping[str, Any]) -> Iterator[str]:
    yield f"duplicate of         {printable(survivor['url']) or survivor['id']}"
    if "note" in survivor:
        yield f"                     {survivor['note']}"
        return
    parts = [f"quality {survivor['quality_score']:.3f}", f"{survivor['words']:,} words", survivor["fetched_at"]]
    yield f"                     {', '.join(parts)}"
    if survivor["similarity"] is not None:
        yield f"                     similarity by the sketches {survivor['similarity']:.3f}"
    yield f"                     exact Jaccard of the word 5-grams {survivor['jaccard']:.3f}"
