"""run_report and charts: every logged number is on the page, and text from the web does not become markup."""

from __future__ import annotations

import inspect
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, get_args
from xml.etree import ElementTree

import numpy as np
import pytest

from tests.trainer import runs
from trainer.data.batches import BatchSettings, BatchSource
from trainer.data.corpus import DocumentRef
from trainer.reports import advice, charts
from trainer.reports.advice import describe_run
from trainer.reports.charts import Line, Scale, format_flops, format_number, heat_map, line_chart, log_ticks, ticks
from trainer.reports.run_report import (
    ReportError,
    average_steps,
    build_domain_lines,
    build_tiles,
    build_title,
    format_duration,
    run_facts,
    write_run_report,
)
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
    assert not re.search(r'src="|href="(?!#)', html)  # and nothing is fetched


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
    steps = [{"a": [2.0, 30.0], "b": [1.0, 5.0]}, {"a": [4.0, 10.0]}] * 12
    rows = [{"step": step, "domains": domains} for step, domains in enumerate(steps, 1)]
    lines = {line.name: (line.x, line.y) for line in build_domain_lines(rows)}
    windows = [4.0, 8.0, 12.0, 16.0, 20.0, 24.0]
    assert lines == {"a": (windows, [2.5] * 6), "b": (windows, [1.0] * 6)}
    many = [{"step": step, "domains": {f"d{n}": [float(n), 100.0 - n] for n in range(12)}} for step in range(1, 13)]
    others = build_domain_lines(many)[-1]
    assert others.name == "5 others"
    assert others.y[0] == pytest.approx(sum(n * (100 - n) for n in range(7, 12)) / sum(100 - n for n in range(7, 12)))


def test_one_batch_is_no_trend():
    rows = [
        {"step": step, "domains": {"often": [1.0, 9.0], **({"once": [2.0, 9.0]} if step == 3 else {})}}
        for step in range(1, 25)
    ]
    assert [line.name for line in build_domain_lines(rows)] == ["often"]
    assert build_domain_lines(rows[:5]) == []
    for count in (1, 2, 3):
        chart = line_chart([Line("loss", list(range(count)), [1.0] * count)])
        assert ("<polyline" in chart) == (count >= 3)
        assert chart.count("<circle") == (count if count < 3 else 0)


def made_up(steps: int, warmup: int, loss: Callable[[int], float], **more: object) -> tuple[list[dict], dict]:
    info = {
        "settings": {
            "schedule": {"warmup_steps": warmup},
            "loop": {"steps": steps},
            "optimizer": {"max_grad_norm": 1.0},
        },
        "active_parameters": 10,
        "parameters": 10,
        "precision": "float32",
    }
    row = {"tokens": 8, "seconds": 1.0, "tokens_per_second": 5.0, "mfu": 0.1, "gradient_norm": 0.5, **more}
    return [{"step": step, "loss": loss(step), **row} for step in range(1, steps + 1)], info


def test_the_warm_up_is_not_counted_as_training():
    rows, info = made_up(15, 10, lambda step: 9.0 if step <= 10 else 2.0)
    assert build_title(rows, info) == "Loss 2.000 after 15 of 15 steps"
    tiles = {label: (value, note) for label, value, note in build_tiles(rows, info)}
    assert tiles["loss"] == ("2.000", "nats per token, last 5 steps")
    assert tiles["steps"] == ("15", "of 15, 10 of them warm-up")
    assert "too few for a trend" in describe_run(rows, info)[0].advice
    assert build_title(rows[:9], info) == "9 of 15 steps, still in the warm-up"
    assert describe_run(rows[:9], info)[0].value == "none yet"
    rows[0]["tokens_per_second"] = 0.001  # the first step compiles
    assert {label: value for label, value, _ in build_tiles(rows[:2], info)}["tokens per second"] == "5"


@pytest.mark.parametrize(
    ("loss", "says"),
    [
        (lambda step: 5 - step / 50, "still falls, by 0.400"),
        (lambda step: 3 + step / 50, "rises, by 0.400"),
        (lambda step: 3 + 0.1 * (-1) ** step, "flat within its noise"),
    ],
)
def test_each_course_of_the_loss_has_its_advice(loss, says):
    rows, info = made_up(110, 10, loss)
    assert describe_run(rows, info)[0].advice.startswith(says)


def test_each_fault_has_its_advice():
    rows, info = made_up(60, 0, lambda step: 2.0, experts={"load": [[0.99, 0.01]], "dropped": [0.5]})
    for row in rows:
        row["gradient_norm"] = 3.0
    rows[20]["validation"], rows[59]["validation"] = {"loss": 2.0}, {"loss": 2.4}
    rows[30]["anomaly"] = {"kind": "spike", "action": "skip"}
    found = {finding.name: finding for finding in describe_run(rows, info)}
    assert "was 2.000 at step 21 and has risen" in found["Held-out loss"].advice
    assert found["Clipped gradients"].value == "100% of steps"
    assert found["Idle experts"].value == "1 of 2"
    assert found["Dropped assignments"].value == "50.0%"
    assert "skip" in found["Anomalies: spike"].advice
    faults = {name for name, finding in found.items() if finding.is_fault}
    assert faults == {"Held-out loss", "Idle experts", "Dropped assignments", "Anomalies: spike"}


def test_every_setting_that_the_advice_names_exists(run):
    from trainer.tasks.pretrain_settings import PretrainSettings

    text = inspect.getsource(advice)
    names = re.findall(r"\b((?:schedule|loop|data|anomalies|optimizer|model)(?:\.[a-z_]+)+)", text)
    assert len(names) > 8
    for name in names:
        fields: Any = PretrainSettings
        for part in name.split("."):
            found = fields.model_fields[part].annotation
            fields = next((each for each in get_args(found) if hasattr(each, "model_fields")), found)


def test_both_reports_have_one_look():
    """Neither package may import the other, so each has the file."""
    root = Path(charts.__file__).parents[2]
    assert (root / "trainer/reports/page.css").read_bytes() == (root / "pipeline/reports/page.css").read_bytes()
    for name in ("trainer/reports/run_report.html.j2", "pipeline/reports/report.html.j2"):
        template = (root / name).read_text()
        for part in (
            '<dl class="facts">',
            '<ul class="tiles">',
            '<nav aria-label="Sections">',
            "Content-Security-Policy",
        ):
            assert part in template


def test_the_header_says_what_ran(run):
    page = Page((run / "report.html").read_text())
    info = json.loads((run / "run.json").read_text())
    assert "Run" in page.text
    assert datetime.fromtimestamp(info["started"], UTC).strftime("%Y-%m-%d %H:%M UTC to ") in page.text
    named = {
        **info,
        "command": "gristmill train pretrain tiny",
        "settings": {**info["settings"], "data": {"sources": {"web": {"path": "curated"}}}},
    }
    facts = dict(run_facts(read_metrics(run), named, info["started"] + 60))
    assert facts["Input"] == "web: curated"
    assert facts["Command"] == "gristmill train pretrain tiny"


def test_passwords_of_the_data_are_not_shown(run, tmp_path):
    info = json.loads((run / "run.json").read_text())
    info["settings"]["data"] = {"sources": {"web": {"path": "https://me:S3CRET@a.example/data?key=S3CRET"}}}
    shutil.copy(run / "metrics.jsonl", tmp_path)
    (tmp_path / "run.json").write_text(json.dumps(info))
    text = write_run_report(tmp_path).read_text()
    assert "https://a.example/data" in text
    assert "S3CRET" not in text


def test_a_folder_without_a_run_is_reported(tmp_path):
    with pytest.raises(ReportError, match="no run here"):
        write_run_report(tmp_path)
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(ReportError, match="no step yet"):
        write_run_report(tmp_path)
