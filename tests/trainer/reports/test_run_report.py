"""run_report and charts: every logged number is on the page, and text from the web does not become markup."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from tests.trainer import runs
from trainer.data.batches import BatchSettings, BatchSource
from trainer.data.corpus import DocumentRef
from trainer.reports.charts import Line, Scale, format_flops, format_number, heat_map, line_chart, log_ticks, ticks
from trainer.reports.run_report import ReportError, average_steps, build_domain_lines, format_duration, write_run_report
from trainer.training.metrics import read_metrics

HOSTILE = '<script>alert("x")</script>'


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A sparse run with nine hostile domains and a skipped step."""
    out = tmp_path_factory.mktemp("run")
    corpus = runs.corpus()
    names = tuple(f"{HOSTILE}{number}" for number in range(10))
    where = [DocumentRef(id=str(number), url=f"https://a.b/{HOSTILE}") for number in range(len(corpus))]
    corpus = replace(
        corpus, domain=(np.arange(len(corpus)) % 10).astype(np.int32), domains=names, describe=where.__getitem__
    )

    class Poisoned(BatchSource):
        def batch(self, step, rank=0, world=1):
            batch = super().batch(step, rank, world)
            return replace(batch, targets=batch.targets * 0 + 60) if step == 20 else batch

    source = Poisoned(corpus, BatchSettings(batch_size=8, sequence_length=32, max_repetitions=None))
    changes = {"loop": {"steps": 30, "validate_every": 10, "validate_batches": 1}}
    changes |= {
        "model": {"experts": {"num_experts": 4, "every": 1}},
        "anomalies": {"spike": "skip", "window": 16, "deviations": 4.0},
    }
    runs.run(out, changes, source=source, validation=source)
    return out


class Page(HTMLParser):
    """Tags and text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.charts: list[dict] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        values = dict(attrs)
        if "data-chart" in values:
            self.charts.append(json.loads(values["data-chart"]))

    def handle_data(self, data):
        self.text += data


def test_the_page_holds_every_chart_and_number(run):
    html = (run / "report.html").read_text()  # the run has written it at its end
    page, rows = Page(html), read_metrics(run)
    lines = {line["name"]: line for chart in page.charts for line in chart["lines"]}
    good = [row for row in rows if "anomaly" not in row]
    assert len(good) == 29
    assert lines["training"]["step"] == [row["step"] for row in good]
    assert lines["training"]["y"] == pytest.approx([row["loss"] for row in good], rel=1e-4)
    assert lines["validation"]["step"] == [10, 20, 30]
    assert lines["rate"]["y"] == pytest.approx([row["learning_rate"] for row in good], rel=1e-4)
    assert lines["norm"]["y"] == pytest.approx([row["gradient_norm"] for row in good], rel=1e-4)
    assert {"tokens/s", "MFU", "balance", "router z", "dropped", "3 others"} <= lines.keys()
    load = np.mean([row["experts"]["load"] for row in good[-20:]], axis=0)
    for value in load.flat:
        assert f"{value:.0%}" in page.text
    assert f"{np.mean([row['loss'] for row in good[-20:]]):.3f}" in page.text
    assert "spike" in page.text


def test_nothing_from_the_web_becomes_markup(run):
    html = (run / "report.html").read_text()
    assert Page(html).tags.count("script") == 1  # our own
    assert "https://a.b/&lt;script&gt;" in html
    assert not re.search(r'(?:src|href)="', html)  # and nothing is fetched


def test_charts_are_well_formed_and_lie_inside_their_frame():
    chart = line_chart([Line(HOSTILE, [1, 2, 3], [5.0, 1e-9, 7.0], [4, 0, 6], [6, 1, 8], dots=True)], marks=[2])
    root = ElementTree.fromstring(chart)
    _, _, width, height = map(float, root.get("viewBox").split())
    for shape in root:
        for pair in (shape.get("points") or "").split():
            x, y = map(float, pair.split(","))
            assert 0 <= x <= width
            assert 0 <= y <= height
    assert ElementTree.fromstring(heat_map([[0.5, 0.5]], [HOSTILE], 0.5)) is not None
    assert line_chart([Line("nothing", [], [])]) == ""
    for lines in ([Line("one", [3], [2.0])], [Line("flat", [1, 2], [0.0, 0.0])]):
        assert ElementTree.fromstring(line_chart(lines)) is not None
        assert ElementTree.fromstring(line_chart(lines, log=True)) is not None


def test_scales_ticks_and_numbers():
    assert Scale(0, 10, 100, 0).at(2.5) == 75
    assert Scale(1, 100, 0, 100, log=True).at(10) == 50
    assert ticks(0, 10) == [0, 2, 4, 6, 8, 10]
    assert ticks(2.31, 2.74) == [2.4, 2.5, 2.6, 2.7]
    assert log_ticks(0.02, 300) == [0.1, 1, 10, 100]
    assert log_ticks(0.3, 4) == [0.5, 1, 2]
    assert [format_number(value) for value in (0, 12, 1234, 5.6e7, 2e-5, 0.05)] == [
        "0",
        "12",
        "1.23k",
        "56M",
        "2e-5",
        "0.05",
    ]
    assert [format_flops(value) for value in (8.3e10, 9.89e14)] == ["83 GFLOP/s", "989 TFLOP/s"]
    assert [format_duration(value) for value in (51, 720, 12_240, 181_440)] == ["51 s", "12 min", "3.4 h", "2.1 days"]


def test_long_runs_are_averaged_with_their_spread():
    rows = [{"step": step, "loss": float(step % 2)} for step in range(1, 1001)]
    line = average_steps("loss", rows, lambda row: row["loss"])
    assert len(line.x) == 240
    assert line.x[-1] == 1000
    assert np.mean(line.y) == pytest.approx(0.5, abs=0.01)
    assert (set(line.low), set(line.high)) == ({0.0}, {1.0})
    assert average_steps("loss", [{"step": 1, "loss": None}], lambda row: row["loss"]).x == ()


def test_domains_are_weighted_by_their_tokens():
    rows = [{"step": 1, "domains": {"a": [2.0, 30.0], "b": [1.0, 5.0]}}, {"step": 2, "domains": {"a": [4.0, 10.0]}}]
    lines = {line.name: (line.x, line.y) for line in build_domain_lines(rows)}
    assert lines == {"a": ([1.0, 2.0], [2.0, 4.0]), "b": ([1.0], [1.0])}
    many = [{"step": 1, "domains": {f"d{n}": [float(n), 100.0 - n] for n in range(12)}}]
    others = build_domain_lines(many)[-1]
    assert others.name == "5 others"
    assert others.y == [pytest.approx(sum(n * (100 - n) for n in range(7, 12)) / sum(100 - n for n in range(7, 12)))]


def test_a_folder_without_a_run_is_reported(tmp_path):
    with pytest.raises(ReportError, match="no run here"):
        write_run_report(tmp_path)
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(ReportError, match="no step yet"):
        write_run_report(tmp_path)
