"""report.html: what a run did to its pages, as one file for people. Numbers from report.json, samples from the rows.

Everything that comes from a page is escaped by the template engine; links lead to http(s) only; and the page's own
security policy lets nothing run or load but the style and the script that are in it, named by their hashes.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from classifiers.urls import host_of
from pipeline import storage
from pipeline.config import Config
from pipeline.publishing.provenance import settings_as_json
from pipeline.reports import charts
from pipeline.reports.run_warnings import WARN_REPETITIONS, run_warnings
from pipeline.reports.samples import Samples, changed_settings, collect
from pipeline.stages.order import STAGES
from pipeline.stages.scrub_pii import SIGNAL_OF
from pipeline.storage.layout import Layout, read_json

_HERE = Path(__file__).parent
_HOSTS = 15
_LANGUAGES = 8
_STRUCTURE = {"code": "Code blocks", "tables": "Tables", "formulas": "Formulas", "lists": "Lists"}


def write_report(layout: Layout) -> None:
    """Writes OUT/report.html from OUT/report.json and the published rows."""
    html = render(read_json(layout.report), collect(layout))
    with storage.write_atomically(layout.report_html) as file:
        file.write(html.encode("utf-8", "replace"))


def rebuild_report(output: str) -> str:
    """Writes it again; returns its path. Raises ValueError where there is no run."""
    layout = Layout(output)
    if not storage.exists(layout.report):
        raise ValueError(f"{output}: no report.json here; give the --output of a finished `gristmill curate`")
    write_report(layout)
    return layout.report_html


def render(report: Mapping[str, Any], samples: Samples) -> str:
    """The whole page."""
    policy = (
        f"default-src 'none'; style-src {_digest('report.css')}; script-src {_digest('report.js')}; "
        "base-uri 'none'; form-action 'none'"
    )
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            report=report,
            samples=samples,
            policy=policy,
            sites=sites(report),
            steps=steps(report),
            losses=losses(report, samples),
            mixture=mixture(report),
            warnings=run_warnings(report),
            languages=ranked(report["languages"], "language", "documents", _LANGUAGES),
            hosts=ranked(report["hosts"], "host", "documents", _HOSTS),
            dropped_hosts=ranked(report["dropped_hosts"], "host", "pages", _HOSTS),
            personal=personal(report, samples),
            structure=structure(report),
            costs=costs(report),
            changed=list(changed_settings(report["config"], settings_as_json(Config()))),
            max_repetitions=WARN_REPETITIONS,
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
        count=count,
        number_of=number_of,
        host_of=host_of,
        share=share,
        measure=measure,
        words=words,
        link=link,
        flat=lambda text: " ".join(text.split()),
    )
    environment.globals.update(
        bar=charts.bar, gauge=charts.gauge, histogram=charts.histogram, shares=charts.shares, stream=charts.stream
    )
    return environment


def _digest(name: str) -> str:
    # What the template includes: the file without its last line end.
    text = (_HERE / name).read_text(encoding="utf-8").removesuffix("\n")
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


# --- how numbers and names are written ---


def count(value: float) -> str:
    """
    >>> count(1234567)
    '1,234,567'
    """
    return f"{value:,.0f}"


def number_of(value: float, noun: str) -> str:
    """
    >>> number_of(1, "page"), number_of(2000, "page")
    ('1 page', '2,000 pages')
    """
    return f"{count(value)} {noun}" + ("" if value == 1 else "s")


def share(value: float) -> str:
    """Per cent, with a decimal where it says something.

    >>> share(0.5), share(0.0123), share(0.00004), share(0)
    ('50%', '1.2%', '<0.1%', '0%')
    """
    percent = 100 * value
    if percent == 0:
        return "0%"
    if percent < 0.1:
        return "<0.1%"
    return f"{percent:.0f}%" if percent >= 10 or percent == round(percent) else f"{percent:.1f}%"


def measure(value: float | None) -> str:
    """A measurement as short as its meaning allows.

    >>> measure(12.0), measure(0.123456), measure(1234567.0), measure(None)
    ('12', '0.1235', '1,234,567', '')
    """
    if value is None:
        return ""
    return f"{value:,.0f}" if value == round(value) or abs(value) >= 1000 else f"{value:.4g}"


def words(name: str) -> str:
    """`same_url` as a person writes it."""
    return name.replace("_", " ")


def link(url: str) -> str:
    """The URL where it may be a link: http(s) with a host, else ""."""
    try:
        parts = urlsplit(url)
        safe = parts.scheme in ("http", "https") and bool(parts.hostname) and not re.search(r"[\s\x00-\x1f]", url)
    except ValueError:
        return ""
    return url if safe else ""


# --- what the sections show ---


def steps(report: Mapping[str, Any]) -> list[charts.Step]:
    """The funnel: every stage that dropped something, in flow order."""
    came, found = report["pages"], []
    for stage in STAGES:
        lost = sum(report["dropped"].get(stage, {}).values())
        if lost:
            found.append(charts.Step(stage, came, lost))
            came -= lost
    return found


def sites(report: Mapping[str, Any]) -> str:
    """Registered domains of kept documents, as far as they are counted one by one."""
    named = [line["host"] for line in report["hosts"] if line["host"] != "other"]
    return count(len(named)) + ("+" if len(named) < len(report["hosts"]) else "")


def losses(report: Mapping[str, Any], samples: Samples) -> list[dict[str, Any]]:
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


def ranked(lines: Sequence[Mapping[str, Any]], name: str, number: str, limit: int) -> list[dict[str, Any]]:
    """The largest, with their share of all and their length beside the largest; the rest as one line."""
    total = sum(line[number] for line in lines) or 1
    named = [line for line in lines if line[name] != "other"]
    rest = total - sum(line[number] for line in named[:limit])
    shown = [(line[name] or "(none)", line[number]) for line in named[:limit]]
    most = max((n for _, n in shown), default=1) or 1
    found = [{"name": title, "count": n, "share": n / total, "length": n / most} for title, n in shown]
    if rest and len(named) > limit:
        found.append({"name": "all others", "count": rest, "share": rest / total, "length": 0.0})
    return found


def mixture(report: Mapping[str, Any]) -> dict[str, Any]:
    """Actual and target shares by domain, with the scale of their drawing."""
    lines = report["domains"]
    largest = max((max(line["target"], line["actual"], line["weighted"]) for line in lines), default=0.0)
    return {
        "lines": lines,
        "largest": largest,
    }


def personal(report: Mapping[str, Any], samples: Samples) -> list[dict[str, Any]]:
    """Replaced personal data by kind, kept and dropped pages, with places where it stood."""
    found = []
    for kind, name in SIGNAL_OF.items():
        sums = report["signals"].get(name)
        if sums and (sums["sum"] or sums["dropped_sum"]):
            found.append(
                {"kind": name.removeprefix("pii_"), **sums, "samples": samples.placeholders.get(str(kind), [])}
            )
    return sorted(found, key=lambda line: -line["sum"])


def structure(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Code, tables, formulas and lists in the pages' markup and in the kept texts."""
    nothing = {"sum": 0, "documents": 0}
    found = []
    for name, title in _STRUCTURE.items():
        there, here = (report["signals"].get(f"{side}_{name}", nothing) for side in ("dom", "text"))
        if there["sum"] or here["sum"]:
            found.append(
                {"title": title, "in": there["sum"], "out": here["sum"], "pages": there["documents"],
                 "share": here["sum"] / there["sum"] if there["sum"] else None}
            )  # fmt: skip
    return found


def costs(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """CPU seconds by stage, in flow order, with their share and per thousand pages read."""
    seconds = report["cpu_seconds"]
    total, most = sum(seconds.values()) or 1, max(seconds.values(), default=1) or 1
    pages = report["pages"] or 1
    return [
        {"stage": stage, "seconds": spent, "share": spent / total, "length": spent / most, "rate": 1000 * spent / pages}
        for stage, spent in seconds.items()
    ]
