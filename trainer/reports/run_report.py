"""report.html of a run: one file with its losses, what to do about each, curves, expert loads and configuration.

It looks as the report of `gristmill curate` does: page.css is the same file. The page's security policy allows only
the styles and the script inside it, by their hashes: nothing else runs, and nothing is loaded.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from trainer.errors import UserError
from trainer.files import write_atomically
from trainer.reports.advice import RECENT, after_warmup, describe_run
from trainer.reports.charts import Line, format_flops, format_number, heat_map, line_chart
from trainer.training.command_line import without_secrets
from trainer.training.metrics import read_metrics

POINTS = 240  # most points of a line; more steps are averaged, and their range is drawn as a band
WINDOW = 4  # fewest steps in a point of a domain's line
DOMAIN_STEPS = 12  # fewest steps with text of a domain that make a line; fewer are in the table alone
DOMAINS = 7  # most domains with a line of their own, those with the most tokens; the others share one
ANOMALIES = 20  # most rows of the table of anomalies, the last ones

_HERE = Path(__file__).parent
Row = dict[str, Any]


class ReportError(UserError):
    """No report can be made of a folder: why, and what to do."""


@dataclass(frozen=True)
class Panel:
    """A chart with its title and a note on what it shows."""

    title: str
    note: str
    svg: Markup
    legend: Sequence[str] = ()
    wide: bool = False


def write_run_report(run: Path) -> Path:
    """Write RUN/report.html from the rows logged so far; also while the run trains."""
    rows = read_metrics(run)
    try:
        info = hide_secrets(json.loads((run / "run.json").read_text("utf-8")))
    except (OSError, ValueError) as error:
        raise ReportError(
            f"{run}: no run here ({error}); name the --output folder of gristmill train pretrain"
        ) from error
    if not rows:
        raise ReportError(f"{run}: metrics.jsonl holds no step yet; write the report after the first one")
    finished = (run / "metrics.jsonl").stat().st_mtime
    html = (
        page_templates()
        .get_template("run_report.html.j2")
        .render(
            name=run.resolve().name,
            policy=build_policy(),
            title=build_title(rows, info),
            facts=run_facts(rows, info, finished),
            findings=describe_run(rows, info),
            domains=domain_table(rows, info),
            tiles=build_tiles(rows, info),
            panels=[panel for panel in build_panels(rows, info) if panel.svg],
            anomalies=read_anomalies(run)[-ANOMALIES:],
            info=info,
            peaks={name: format_flops(peak) for name, peak in info["peaks"].items()},
        )
    )
    write_atomically(run / "report.html", html)
    return run / "report.html"


def hide_secrets(value: Any) -> Any:
    """The same JSON without passwords and signatures in addresses, such as those of the data: reports are published."""
    match value:
        case str():
            return without_secrets(value)
        case dict():
            return {name: hide_secrets(part) for name, part in value.items()}
        case list():
            return [hide_secrets(part) for part in value]
        case _:
            return value


def page_templates() -> jinja2.Environment:
    """The templates of this folder."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def build_policy(*, script: bool = True) -> str:
    """The content security policy: the styles and the script of the page, by their hashes."""
    styles = f"{_digest('page.css')} {_digest('run_report.css')}"
    scripts = f"script-src {_digest('run_report.js')}; " if script else ""
    return f"default-src 'none'; style-src {styles}; {scripts}base-uri 'none'"


def _digest(name: str) -> str:
    text = (_HERE / name).read_text("utf-8").removesuffix("\n")  # jinja includes a file without its last line break
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def build_title(rows: Sequence[Row], info: Row) -> str:
    """The result in one line."""
    steps = f"{rows[-1]['step']:,} of {info['settings']['loop']['steps']:,} steps"
    good = after_warmup(rows, info["settings"]["schedule"]["warmup_steps"])
    if not good:
        return f"{steps}, still in the warm-up"
    return f"Loss {np.mean([row['loss'] for row in good[-RECENT:]]):.3f} after {steps}"


def run_facts(rows: Sequence[Row], info: Row, finished: float) -> list[tuple[str, str]]:
    """(name, value) of what was run: input, time and command. finished: when the last row was written."""
    sources = info["settings"].get("data", {}).get("sources", {})
    facts = [("Input", ", ".join(f"{name}: {source['path']}" for name, source in sources.items()))] if sources else []
    seconds = format_duration(sum(row["seconds"] for row in rows))
    if info.get("started"):
        moments = (datetime.fromtimestamp(moment, UTC) for moment in (info["started"], finished))
        begin, end = (moment.strftime("%Y-%m-%d %H:%M UTC") for moment in moments)
        facts.append(("Run", f"{begin} to {end} ({seconds} in steps)"))
    else:
        facts.append(("Run", f"{seconds} in steps"))
    return [*facts, *([("Command", info["command"])] if info.get("command") else [])]


def build_tiles(rows: Sequence[Row], info: Row) -> list[tuple[str, str, str]]:
    """(label, value, note) of the headline numbers. Steps of the warm-up count for none of the losses."""
    warmup, steps = info["settings"]["schedule"]["warmup_steps"], info["settings"]["loop"]["steps"]
    losses = [row["loss"] for row in after_warmup([row for row in rows if "anomaly" not in row], warmup)][-RECENT:]
    steady = rows[1:] or rows  # the first step also compiles and fills caches
    speed = float(np.median([row["tokens_per_second"] for row in steady]))
    note = f"of {steps:,}, {min(warmup, rows[-1]['step']):,} of them warm-up" if warmup else f"of {steps:,}"
    found = [
        ("loss", f"{np.mean(losses):.3f}" if losses else "none", f"nats per token, last {_count_steps(len(losses))}"),
        ("steps", f"{rows[-1]['step']:,}", note),
        (
            "tokens",
            format_number(rows[-1]["tokens"]),
            f"{rows[-1]['tokens'] / info['active_parameters']:.2g} per parameter",
        ),
        ("parameters", format_number(info["parameters"]), _note_active(info)),
        ("tokens per second", f"{speed:,.0f}", "median, without the first step"),
        ("MFU", f"{np.median([row['mfu'] for row in steady]):.0%}", f"of {info['precision']} matmul peak"),
    ]
    validations = [row for row in rows if "validation" in row]
    if validations:
        step = validations[-1]["step"]
        loss = f"{validations[-1]['validation']['loss']:.3f}"
        found.insert(1, ("held-out loss", loss, f"nats per token, step {step:,}"))
    return found


def _count_steps(count: int) -> str:
    return f"{count} step{'' if count == 1 else 's'}"


def domain_table(rows: Sequence[Row], info: Row) -> list[tuple[str, str, str, str, str, str]]:
    """(domain, tokens, share, steps, training loss, held-out loss) by decreasing tokens, without the warm-up."""
    good = after_warmup([r for r in rows if "anomaly" not in r], info["settings"]["schedule"]["warmup_steps"])
    cells: dict[str, list[tuple[float, float]]] = {}
    for row in good:
        for name, (mean, count) in row.get("domains", {}).items():
            cells.setdefault(name, []).append((mean, count))
    held_out: Row = next((row["validation"].get("domains", {}) for row in reversed(rows) if "validation" in row), {})
    tokens = {name: sum(count for _, count in found) for name, found in cells.items()}
    total = sum(tokens.values()) or 1
    table = []
    for name in sorted(tokens, key=lambda name: (-tokens[name], name)):
        recent = cells[name][-RECENT:]
        loss = sum(mean * count for mean, count in recent) / sum(count for _, count in recent)
        beside = f"{held_out[name][0]:.3f}" if name in held_out else ""
        shown = f"{loss:.3f}" if len(recent) >= DOMAIN_STEPS else "too few steps"
        share = f"{tokens[name] / total:.1%}"
        table.append((name, format_number(tokens[name]), share, f"{len(cells[name]):,}", shown, beside))
    return table


def _note_active(info: Row) -> str:
    if info["active_parameters"] == info["parameters"]:
        return "dense"
    return f"{format_number(info['active_parameters'])} active per token"


def format_duration(seconds: float) -> str:
    """51 s, 12 min, 3.4 h, 2.1 days."""
    for limit, unit in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= limit:
            return f"{seconds / limit:.3g} {unit}"
    return f"{seconds:.0f} s"


def build_panels(rows: Sequence[Row], info: Row) -> list[Panel]:
    """All charts in the order of the page. Steps with an anomaly are marked, and left out of the curves."""
    whole, rows = rows, [row for row in rows if "anomaly" not in row]
    marks = [row["step"] for row in whole if "anomaly" in row]
    validation = [row for row in rows if "validation" in row]
    held_out = Line(
        "validation", [r["step"] for r in validation], [r["validation"]["loss"] for r in validation], dots=True
    )
    loss = [line for line in (average_steps("training", rows, lambda row: row["loss"]), held_out) if line.x]
    domains, warmup = build_domain_lines(rows), info["settings"]["schedule"]["warmup_steps"]
    return [
        _panel(
            "Loss",
            "nats per token; warm-up in gray; the band is the range of the steps that a point averages",
            loss,
            wide=True,
            marks=marks,
            warmup=warmup,
        ),
        _panel("Loss by domain", f"training, windows of at least {WINDOW} steps", domains, wide=True, warmup=warmup),
        _panel(
            "Learning rate",
            "of the schedule",
            [average_steps("rate", rows, lambda row: row["learning_rate"])],
            zero=True,
        ),
        _panel(
            "Gradient norm",
            "before clipping, log scale",
            [average_steps("norm", rows, lambda r: r["gradient_norm"])],
            log=True,
        ),
        _panel(
            "Speed", "tokens per second", [average_steps("tokens/s", rows, lambda r: r["tokens_per_second"])], zero=True
        ),
        _panel(
            "Model FLOP utilization",
            f"of {format_flops(info['peaks'][info['precision']])}, the {info['precision']} peak",
            [average_steps("MFU", rows, lambda row: row["mfu"])],
            zero=True,
            percent=True,
        ),
        *build_expert_panels([row for row in rows if "experts" in row], info),
    ]


def _panel(title: str, note: str, lines: Sequence[Line], wide: bool = False, **options: Any) -> Panel:
    legend = [line.name for line in lines] if len(lines) > 1 else []
    return Panel(title, note, Markup(line_chart(lines, wide=wide, **options)), legend, wide)  # noqa: S704 - charts escapes


def average_steps(name: str, rows: Sequence[Row], value: Callable[[Row], float | None]) -> Line:
    """A line of a value over the steps, averaged over neighboring steps to at most POINTS points."""
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


def build_domain_lines(rows: Sequence[Row]) -> list[Line]:
    """Loss of the domains with the most tokens and of the others together, weighted by tokens over windows of steps.

    A batch holds few tokens of a domain: the loss of single steps is mostly noise, and a domain that is in few of them
    has no line.
    """
    read: dict[str, float] = {}
    steps: dict[str, int] = {}
    for row in rows:
        for name, (_, count) in row.get("domains", {}).items():
            read[name] = read.get(name, 0.0) + count
            steps[name] = steps.get(name, 0) + 1
    often = [name for name in read if steps[name] >= DOMAIN_STEPS]
    ranked = sorted(often, key=lambda name: (-read[name], name))
    alone = ranked[: DOMAINS + 1] if len(ranked) == DOMAINS + 1 else ranked[:DOMAINS]
    groups = {name: [name] for name in alone}
    if len(ranked) > len(alone):
        groups[f"{len(ranked) - len(alone)} others"] = ranked[len(alone) :]
    windows = [list(part) for part in np.array_split(np.arange(len(rows)), max(1, min(60, len(rows) // WINDOW)))]
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


def build_expert_panels(rows: Sequence[Row], info: Row) -> list[Panel]:
    """Load of each expert, load balance, router z-loss and dropped assignments; none for a dense model."""
    if not rows:
        return []
    recent = np.mean([row["experts"]["load"] for row in rows[-RECENT:]], axis=0)  # [blocks, experts]
    every = info["settings"]["model"]["experts"]["every"]
    wide = recent.shape[1] > 8
    names = [f"block {every * (number + 1)}" for number in range(len(recent))]
    heat = Markup(heat_map(recent.tolist(), names, 1 / recent.shape[1]))  # noqa: S704 - charts escapes
    balance = average_steps("balance", rows, lambda row: float(np.mean(row["experts"]["balance"])))
    z = average_steps("router z", rows, lambda row: float(np.mean(row["experts"]["z"])))
    dropped = average_steps("dropped", rows, lambda row: float(np.mean(row["experts"]["dropped"])))
    return [
        Panel(
            "Expert load",
            f"share of the tokens, last {RECENT} steps; even is {1 / recent.shape[1]:.1%}",
            heat,
            (),
            wide,
        ),
        _panel("Load balance", "auxiliary loss; 1 is even", [balance]),
        _panel("Router z-loss", "mean squared log-partition", [z], zero=True),
        _panel("Dropped", "assignments over an expert's capacity", [dropped], zero=True, percent=True),
    ]


def read_anomalies(run: Path) -> list[Row]:
    """The anomalies that all ranks recorded, by step."""
    found = [
        json.loads(line)
        for path in sorted(run.glob("anomalies*.jsonl"))
        for line in path.read_text("utf-8").splitlines()
    ]
    return sorted(found, key=lambda row: row["step"])
