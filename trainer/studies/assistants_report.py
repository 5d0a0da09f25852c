"""The comparison of assistants as one HTML file: a table of the stages, curves, and the prompts that stages share."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from trainer.files import write_atomically
from trainer.reports.charts import Line, line_chart
from trainer.reports.run_report import Panel, build_policy, page_templates
from trainer.studies.assistants import AssistantComparison, AssistantScore, OptimizedPoint
from trainer.studies.seed_interval import MeanInterval, mean_interval
from trainer.training.metrics import read_metrics

POINTS = 12  # of a curve: neighboring rollouts are averaged

Measure = Callable[[AssistantScore], float | None]


class Cell(NamedTuple):
    """A mean over the runs of a stage."""

    value: str
    interval: str  # empty for one run
    change: str  # to the first stage; empty there
    worse: bool  # the whole interval of the change is on the bad side


class StageRow(NamedTuple):
    """A stage in the table."""

    name: str
    runs: int
    cells: Sequence[Cell]


def write_comparison(
    found: AssistantComparison, runs: Mapping[str, Sequence[Path]], path: Path, command: str = ""
) -> None:
    """Write the report. runs: the folders of each stage, for the curves of their validations."""
    measures = list_measures(found)
    html = (
        page_templates()
        .get_template("comparison.html.j2")
        .render(
            policy=build_policy(script=False),
            title=build_title(found),
            facts=[("Prompts", f"{found.prompts:,}, none of which any run was trained on")]
            + ([("Command", command)] if command else []),
            names=[name for name, _, _, _ in measures],
            rows=[build_row(found, name, measures) for name in found.stages],
            panels=[panel for panel in build_panels(found, runs) if panel.svg],
            found=found,
            shared=[(a, b, count) for (a, b), count in found.shared.items() if found.trained[a] and found.trained[b]],
        )
    )
    write_atomically(path, html)


def build_title(found: AssistantComparison) -> str:
    """The result in one line."""
    means = {name: float(np.mean([score.correct for score in scores])) for name, scores in found.stages.items()}
    best = max(means, key=means.__getitem__)
    return f"{best} answers {means[best]:.0%} right, {next(iter(means))} {next(iter(means.values())):.0%}"


def list_measures(found: AssistantComparison) -> list[tuple[str, Measure, str, int]]:
    """(name, measure, format, 1 if more is better and -1 if less is) of every column."""
    columns: list[tuple[str, Measure, str, int]] = [
        ("Right answers", lambda score: score.correct, ".1%", 1),
        ("Right at temperature 1", lambda score: score.sampled, ".1%", 1),
        ("Answers that end", lambda score: score.finished, ".0%", 1),
        ("KL, nats an answer", lambda score: score.kl, ".2f", 0),
        ("Bits per byte", lambda score: score.bits_per_byte, ".4f", -1),
    ]
    tasks = dict.fromkeys(name for scores in found.stages.values() for score in scores for name in score.questions)
    columns += [(name, lambda score, name=name: score.questions.get(name), ".1%", 1) for name in tasks]  # type: ignore[misc]
    scores = [score for group in found.stages.values() for score in group]
    return [column for column in columns if any(column[1](score) is not None for score in scores)]


def build_row(found: AssistantComparison, name: str, measures: Sequence[tuple[str, Measure, str, int]]) -> StageRow:
    """A stage with its intervals, and its changes to the first stage."""
    cells = []
    first = next(iter(found.stages))
    for _, measure, form, sign in measures:
        values = [value for score in found.stages[name] if (value := measure(score)) is not None]
        if not values:
            cells.append(Cell("", "", "", False))
            continue
        here = mean_interval(values, 0, 1 if form.endswith("%") else math.inf)  # no measure is below 0
        before = [value for score in found.stages[first] if (value := measure(score)) is not None]
        if name == first or not before or not sign:
            cells.append(Cell(format(here.mean, form), _format_interval(here, form), "", False))
            continue
        start = float(np.mean(before))
        change = mean_interval([value - start for value in values])
        worse = math.isfinite(change.low) and (change.high < 0 if sign > 0 else sign < 0 and change.low > 0)
        cells.append(
            Cell(format(here.mean, form), _format_interval(here, form), format(change.mean, f"+{form}"), worse)
        )
    return StageRow(name, len(found.stages[name]), cells)


def _format_interval(interval: MeanInterval, form: str) -> str:
    if not math.isfinite(interval.low):
        return ""
    return f"{format(interval.low, form)} to {format(interval.high, form)}"


def build_panels(found: AssistantComparison, runs: Mapping[str, Sequence[Path]]) -> list[Panel]:
    """Over-optimization, and the reward of held-out prompts over the steps."""
    curves = {name: average_points(points) for name, points in found.curves.items()}
    gold = [Line(name, [p.kl for p in points], [p.verified for p in points]) for name, points in curves.items()]
    proxy = [Line(name, [p.kl for p in points], [p.reward for p in points]) for name, points in curves.items()]
    note = "by the KL divergence from the start, nats an answer"
    validations = [line for name, paths in runs.items() if len((line := _read_validations(name, paths[0])).x)]
    return [
        _panel("Gold reward", f"what the answers are worth, {note}: where it falls, the model is over-optimized", gold),
        _panel("Optimized reward", f"of the reward model, {note}", proxy),
        _panel(
            "Reward of held-out prompts", "most likely answers, by step of the first run of each stage", validations
        ),
    ]


def _panel(title: str, note: str, lines: Sequence[Line]) -> Panel:
    svg = Markup(line_chart(lines, wide=True))  # noqa: S704 - charts escapes
    return Panel(title, note, svg, [line.name for line in lines], wide=True)


def average_points(points: Sequence[OptimizedPoint]) -> list[OptimizedPoint]:
    """At most POINTS points in order of their divergence, each the mean of neighbors: single rollouts are noise."""
    ordered = sorted(points)
    groups = np.array_split(np.array(ordered, np.float64), min(POINTS, len(ordered)))
    return [OptimizedPoint(*map(float, group.mean(axis=0))) for group in groups]


def _read_validations(name: str, run: Path) -> Line:
    found = []
    for row in read_metrics(run):
        measured = [(0, row.get("before", {})), (row["step"], row.get("validation", {}))]
        found += [(step, values) for step, values in measured if "reward" in values]
    rewards = [values.get("verified", values["reward"]) for _, values in found]
    return Line(name, [step for step, _ in found], rewards)
