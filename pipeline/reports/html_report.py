"""report.html: one self-contained page with the numbers of report.json and samples of the published rows.

Text from web pages is escaped by the template engine, and links are http(s) only. The page's security policy allows
only the style and the script inside it, by their hashes: nothing else runs, and nothing is loaded.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from classifiers.urls import host_of
from pipeline import effects, storage
from pipeline.config import Config
from pipeline.errors import UserError
from pipeline.publishing.manifest import check_parts
from pipeline.publishing.provenance import settings_as_json
from pipeline.publishing.statistics import QUALITY_BINS
from pipeline.publishing.weights import HIGHEST_EDUCATION
from pipeline.reports import charts, formatting
from pipeline.reports.advice import advice
from pipeline.reports.formatting import duration
from pipeline.reports.run_warnings import WARN_REPETITIONS, run_warnings
from pipeline.reports.samples import Samples, changed_settings, collect_samples
from pipeline.stages.order import STAGES
from pipeline.stages.scrub_pii import SIGNAL_OF
from pipeline.storage.layout import Layout, read_report
from pipeline.storage.lease import hold_lease

_HERE = Path(__file__).parent
_HOSTS = 15
_LANGUAGES = 8
_STRUCTURE = {"code": "Code blocks", "tables": "Tables", "formulas": "Formulas", "lists": "Lists"}


def write_report(layout: Layout) -> None:
    """Writes OUT/report.html from OUT/report.json and the published rows."""
    report = read_report(layout)
    html = render(report, collect_samples(layout, report["pages"]))
    with storage.write_atomically(layout.report_html) as file:
        file.write(html.encode("utf-8", "replace"))


def rebuild_report(output: str) -> str:
    """Writes OUT/report.html again and returns its path. Raises UserError where there is no finished run."""
    layout = Layout(output)
    if not storage.exists(layout.report) or not storage.exists(layout.manifest):
        raise UserError(f"{output}: no report.json; give the --output of a finished `gristmill curate`")
    with hold_lease(layout.lease):
        check_parts(layout, ("shards", "drops"))  # the samples are read from them
        write_report(layout)
    return layout.report_html


def render(report: Mapping[str, Any], samples: Samples) -> str:
    """The whole page."""
    policy = (
        f"default-src 'none'; style-src {_digest('page.css')} {_digest('report.css')}; "
        f"script-src {_digest('report.js')}; base-uri 'none'; form-action 'none'"
    )
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            report=report,
            samples=samples,
            policy=policy,
            facts=run_facts(report),
            quality=score_bins(report, "quality", 1),
            education=score_bins(report, "education", HIGHEST_EDUCATION),
            steps=funnel_steps(report),
            losses=list_losses(report, samples),
            mixture=mixture_table(report),
            warnings=run_warnings(report),
            languages=rank_lines(report["languages"], "language", "documents", _LANGUAGES),
            hosts=rank_lines(report["hosts"], "host", "documents", _HOSTS),
            dropped_hosts=rank_lines(report["dropped_hosts"], "host", "pages", _HOSTS),
            rights=sum_opt_outs(report),
            personal=list_personal_data(report, samples),
            structure=list_structure(report),
            costs=list_costs(report),
            changed=list(changed_settings(report["config"], settings_as_json(Config()))),
            max_repetitions=WARN_REPETITIONS,
            trends=list_trends(report),
        )
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.loopcontrols"],
    )
    environment.filters.update(
        count=formatting.count,
        number_of=formatting.number_of,
        host_of=host_of,
        share=formatting.share,
        measure=formatting.measure,
        at_least=lambda count, exact: formatting.count(count) + ("" if exact else "+"),
        words=formatting.words,
        link=formatting.link,
    )
    environment.globals.update(
        advice=advice,
        bar=charts.bar,
        gauge=charts.gauge,
        histogram=charts.histogram,
        series=charts.series,
        shares=charts.shares,
        stream=charts.stream,
    )
    return environment


def _digest(name: str) -> str:
    # Jinja includes the file without its last line break.
    text = effects.read_file(str(_HERE / name)).decode().removesuffix("\n")
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def funnel_steps(report: Mapping[str, Any]) -> list[charts.Step]:
    """The funnel: every stage that dropped pages, in flow order."""
    entered, found = report["pages"], []
    for stage in STAGES:
        lost = sum(report["dropped"].get(stage, {}).values())
        if lost:
            found.append(charts.Step(stage, entered, lost))
            entered -= lost
    return found


def list_trends(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Numbers over snapshots: name, all values, the last two; those that were never above zero are left out."""
    found = []
    for name, values in report.get("trends", {}).get("series", {}).items():
        if any(values):
            is_share = not name.startswith(("words of", "mean", "personal"))
            show = formatting.share if is_share else formatting.measure
            last = [show(value or 0.0) for value in values[-2:]]
            found.append({"name": name, "values": values, "before": last[0], "now": last[-1]})
    return found


def score_bins(report: Mapping[str, Any], name: str, highest: float) -> list[tuple[str, int]]:
    """Kept documents by lower edge of the score's bin; empty bins, too."""
    edges = (f"{number / QUALITY_BINS * highest:.2f}" for number in range(QUALITY_BINS))
    return [(edge, report[name].get(edge, 0)) for edge in edges] if report[name] else []


def run_facts(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(name, value) of what was run: input, time and command."""
    run, inputs = report["run"], report["inputs"]
    facts = [("Input", f"{formatting.number_of(len(inputs), 'file')}, {sum(file['bytes'] for file in inputs):,} bytes")]
    if run.get("started"):
        facts.append(("Run", f"{run['started']} to {run['finished']} ({duration(run['seconds'])})"))
    return [*facts, *([("Command", run["command"])] if run.get("command") else [])]


def list_losses(report: Mapping[str, Any], samples: Samples) -> list[dict[str, Any]]:
    """Stages with their reasons, counts, shares and sampled pages."""
    pages = report["pages"] or 1
    return [
        {
            "stage": stage,
            "count": sum(reasons.values()),
            "share": sum(reasons.values()) / pages,
            "reasons": [
                {"reason": name, "count": n, "share": n / pages, "samples": samples.drops.get((stage, name), [])}
                for name, n in reasons.items()
            ],
        }
        for stage, reasons in report["dropped"].items()
    ]


def rank_lines(lines: Sequence[Mapping[str, Any]], name: str, number: str, limit: int) -> list[dict[str, Any]]:
    """The largest numbers, each with its share of the sum and the length of its bar; the rest as one line."""
    total = sum(line[number] for line in lines) or 1
    named = [line for line in lines if line[name] != "other"]
    rest = total - sum(line[number] for line in named[:limit])
    shown = [(line[name] or "(none)", line[number]) for line in named[:limit]]
    most = max((n for _, n in shown), default=1) or 1
    found = [{"name": title, "count": n, "share": n / total, "length": n / most} for title, n in shown]
    if rest and len(named) > limit:
        found.append({"name": "all others", "count": rest, "share": rest / total, "length": 0.0})
    return found


def mixture_table(report: Mapping[str, Any]) -> dict[str, Any]:
    """Actual, target and weighted share of every domain; `largest` is the scale of the chart."""
    lines = report["domains"]
    largest = max((max(line["target"], line["actual"], line["weighted"]) for line in lines), default=0.0)
    return {
        "lines": lines,
        "largest": largest,
    }


def sum_opt_outs(report: Mapping[str, Any]) -> dict[str, int]:
    """Pages that were dropped for an opt-out, and their words."""
    lines = report["rights"]["hosts"]
    return {name: sum(line[name] for line in lines) for name in ("pages", "words")}


def list_personal_data(report: Mapping[str, Any], samples: Samples) -> list[dict[str, Any]]:
    """Personal data that was replaced, by kind, with samples of the surrounding text."""
    found = []
    for kind, name in SIGNAL_OF.items():
        sums = report["signals"].get(name)
        if sums and (sums["sum"] or sums["dropped_sum"]):
            found.append(
                {"kind": name.removeprefix("pii_"), **sums, "samples": samples.placeholders.get(str(kind), [])}
            )
    return sorted(found, key=lambda line: -line["sum"])


def list_structure(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Code, tables, formulas and lists: how many are in the markup, and how many in the extracted texts."""
    none = {"sum": 0, "documents": 0}
    found = []
    for name, title in _STRUCTURE.items():
        in_markup, in_text = (report["signals"].get(f"{side}_{name}", none) for side in ("dom", "text"))
        if in_markup["sum"] or in_text["sum"]:
            found.append(
                {"title": title, "in": in_markup["sum"], "out": in_text["sum"], "pages": in_markup["documents"],
                 "share": in_text["sum"] / in_markup["sum"] if in_markup["sum"] else None}
            )  # fmt: skip
    return found


def list_costs(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """CPU seconds by stage in flow order, with their share of the sum and the seconds per 1,000 pages read."""
    seconds = report["cpu_seconds"]
    total, most = sum(seconds.values()) or 1, max(seconds.values(), default=1) or 1
    pages = report["pages"] or 1
    return [
        {"stage": stage, "seconds": spent, "share": spent / total, "length": spent / most, "rate": 1000 * spent / pages}
        for stage, spent in seconds.items()
    ]
