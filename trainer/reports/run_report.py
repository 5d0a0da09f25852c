"""report.html of a run: one file with its curves, its experts, its anomalies and its configuration."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from trainer.files import write_atomically
from trainer.reports.charts import Line, heat_map, line_chart, rate, short
from trainer.training.metrics import read_metrics

POINTS = 240  # of a line: what a screen shows; more steps are averaged, and their spread drawn as a band
DOMAINS = 7  # with a line of their own, the most read ones; the others share one
ANOMALIES = 20  # the last ones, in the table

Row = dict[str, Any]


class ReportError(ValueError):
    """A folder without a run in it."""


@dataclass(frozen=True)
class Panel:
    """A chart with its title and what it shows, for the page."""

    title: str
    note: str
    svg: Markup
    legend: Sequence[str] = ()
    wide: bool = False


def write_run_report(run: Path) -> Path:
    """Write RUN/report.html from what the run has logged so far; also while it runs."""
    rows = read_metrics(run)
    try:
        facts = json.loads((run / "run.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ReportError(
            f"{run}: no run here ({error}); give the folder that gristmill train pretrain wrote to"
        ) from error
    if not rows:
        raise ReportError(f"{run}: metrics.jsonl holds no step yet; train for one, then report")
    folder = jinja2.FileSystemLoader(Path(__file__).parent)
    page = jinja2.Environment(loader=folder, autoescape=True, undefined=jinja2.StrictUndefined)
    html = page.get_template("run_report.html.j2").render(
        name=run.resolve().name,
        tiles=tiles(rows, facts),
        panels=[panel for panel in panels(rows, facts) if panel.svg],
        anomalies=read_anomalies(run)[-ANOMALIES:],
        facts=facts,
        settings=json.dumps(facts["settings"], indent=2),
        peaks={name: rate(peak) for name, peak in facts["peaks"].items()},
        last=rows[-1],
    )
    write_atomically(run / "report.html", html)
    return run / "report.html"


def tiles(rows: Sequence[Row], facts: Row) -> list[tuple[str, str, str]]:
    """(label, value, note): what one asks first."""
    finished = [row["loss"] for row in rows if "anomaly" not in row][-20:]
    seconds = sum(row["seconds"] for row in rows)
    speed = float(np.median([row["tokens_per_second"] for row in rows]))
    steps = facts["settings"]["loop"]["steps"]
    found = [
        ("Loss", f"{np.mean(finished):.3f}" if finished else "none", f"nats a token, last {len(finished)} steps"),
        ("Steps", f"{rows[-1]['step']:,}", f"of {steps:,}"),
        ("Tokens", short(rows[-1]["tokens"]), f"{rows[-1]['tokens'] / facts['active_parameters']:.1f} a weight"),
        ("Weights", short(facts["parameters"]), _active(facts)),
        ("Speed", f"{speed:,.0f}", f"tokens/s, median; {duration(seconds)} in all"),
        ("MFU", f"{np.median([row['mfu'] for row in rows]):.0%}", f"of {facts['precision']} matmul peak"),
    ]
    validated = [row for row in rows if "validation" in row]
    if validated:
        step = validated[-1]["step"]
        found.insert(1, ("Validation", f"{validated[-1]['validation']['loss']:.3f}", f"held-out text, step {step:,}"))
    return found


def _active(facts: Row) -> str:
    if facts["active_parameters"] == facts["parameters"]:
        return "dense"
    return f"{short(facts['active_parameters'])} met by a token"


def duration(seconds: float) -> str:
    """51 s, 12 min, 3.4 h, 2.1 days."""
    for limit, unit in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= limit:
            return f"{seconds / limit:.3g} {unit}"
    return f"{seconds:.0f} s"


def panels(rows: Sequence[Row], facts: Row) -> list[Panel]:
    """All charts in the order of the page. A skipped step is marked, and has no part in the curves of the loss."""
    whole, rows = rows, [row for row in rows if "anomaly" not in row]
    marks = [row["step"] for row in whole if "anomaly" in row]
    validation = [row for row in rows if "validation" in row]
    held_out = Line(
        "validation", [r["step"] for r in validation], [r["validation"]["loss"] for r in validation], dots=True
    )
    loss = [line for line in (averaged("training", rows, lambda row: row["loss"]), held_out) if line.x]
    domains = domain_lines(rows)
    found = [
        _panel("Loss", "nats a token; the band spans the steps that a point averages", loss, wide=True, marks=marks),
        _panel("Loss by domain", "training batches, nats a token", domains, wide=True) if len(domains) > 1 else None,
        _panel("Learning rate", "of AdamW", [averaged("rate", rows, lambda row: row["learning_rate"])], zero=True),
        _panel(
            "Gradient norm",
            "before clipping, log scale",
            [averaged("norm", rows, lambda r: r["gradient_norm"])],
            log=True,
        ),
        _panel("Speed", "tokens a second", [averaged("tokens/s", rows, lambda r: r["tokens_per_second"])], zero=True),
        _panel(
            "Model FLOP utilization",
            f"of {rate(facts['peaks'][facts['precision']])}, the {facts['precision']} peak",
            [averaged("MFU", rows, lambda row: row["mfu"])],
            zero=True,
            percent=True,
        ),
        *expert_panels([row for row in rows if "experts" in row], facts),
    ]
    return [panel for panel in found if panel is not None]


def _panel(title: str, note: str, lines: Sequence[Line], wide: bool = False, **options: Any) -> Panel:
    legend = [line.name for line in lines] if len(lines) > 1 else []
    return Panel(title, note, Markup(line_chart(lines, wide=wide, **options)), legend, wide)  # noqa: S704 - charts escapes


def averaged(name: str, rows: Sequence[Row], value: Callable[[Row], float | None]) -> Line:
    """A value over the steps, in at most POINTS groups of neighboring steps."""
    pairs = [(row["step"], found) for row in rows if (found := value(row)) is not None]
    if not pairs:
        return Line(name, (), ())
    groups = np.array_split(np.array(pairs, dtype=np.float64), min(POINTS, len(pairs)))
    x = [float(group[-1, 0]) for group in groups]
    y = [float(group[:, 1].mean()) for group in groups]
    if len(pairs) <= POINTS:
        return Line(name, x, y)
    low, high = ([float(f(group[:, 1])) for group in groups] for f in (np.min, np.max))
    return Line(name, x, y, low, high)


def domain_lines(rows: Sequence[Row]) -> list[Line]:
    """Loss of the most read domains and of the others together, weighed by tokens over windows of steps.

    A batch holds few tokens of a domain, so single steps would show noise alone.
    """
    read: dict[str, float] = {}
    for row in rows:
        for name, (_, count) in row["domains"].items():
            read[name] = read.get(name, 0.0) + count
    ranked = sorted(read, key=lambda name: (-read[name], name))
    alone = ranked[: DOMAINS + 1] if len(ranked) == DOMAINS + 1 else ranked[:DOMAINS]
    groups = {name: [name] for name in alone}
    if len(ranked) > len(alone):
        groups[f"{len(ranked) - len(alone)} others"] = ranked[len(alone) :]
    windows = [list(part) for part in np.array_split(np.arange(len(rows)), min(60, len(rows)))]
    return [_domain_line(label, names, rows, windows) for label, names in groups.items()]


def _domain_line(label: str, names: Sequence[str], rows: Sequence[Row], windows: Sequence[Sequence[int]]) -> Line:
    x, y = [], []
    for window in windows:
        cells = [rows[i]["domains"][name] for i in window for name in names if name in rows[i]["domains"]]
        tokens = sum(count for _, count in cells)
        if tokens:
            x.append(float(rows[window[-1]]["step"]))
            y.append(sum(mean * count for mean, count in cells) / tokens)
    return Line(label, x, y)


def expert_panels(rows: Sequence[Row], facts: Row) -> list[Panel]:
    """Who is chosen how often, how even that is, and how much is dropped."""
    if not rows:
        return []
    recent = np.mean([row["experts"]["load"] for row in rows[-20:]], axis=0)  # [blocks, experts]
    every = facts["settings"]["model"]["experts"]["every"]
    wide = recent.shape[1] > 8
    names = [f"block {every * (number + 1)}" for number in range(len(recent))]
    heat = Markup(heat_map(recent.tolist(), names, 1 / recent.shape[1]))  # noqa: S704 - charts escapes
    balance = averaged("balance", rows, lambda row: float(np.mean(row["experts"]["balance"])))
    z = averaged("router z", rows, lambda row: float(np.mean(row["experts"]["z"])))
    dropped = averaged("dropped", rows, lambda row: float(np.mean(row["experts"]["dropped"])))
    return [
        Panel("Expert load", f"share of the tokens, last 20 steps; even is {1 / recent.shape[1]:.1%}", heat, (), wide),
        _panel("Load balance", "auxiliary loss; 1 is even", [balance]),
        _panel("Router z-loss", "mean squared log-partition", [z], zero=True),
        _panel("Dropped", "assignments over an expert's capacity", [dropped], zero=True, percent=True),
    ]


def read_anomalies(run: Path) -> list[Row]:
    """What all ranks wrote about steps that looked wrong, by step."""
    found = [
        json.loads(line)
        for path in sorted(run.glob("anomalies*.jsonl"))
        for line in path.read_text("utf-8").splitlines()
    ]
    return sorted(found, key=lambda row: row["step"])
