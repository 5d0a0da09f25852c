"""SVG charts of the report."""

from __future__ import annotations

from pipeline.reports import charts


def test_stream_draws_every_stage_that_lost_pages() -> None:
    steps = [charts.Step("read_warc", 100, 10), charts.Step("extract_text", 90, 0), charts.Step("deduplicate", 90, 40)]
    drawn = str(charts.stream(steps, 100))
    assert drawn.count('class="loss"') == 2
    assert "−10" in drawn
    assert "−40" in drawn
    assert ">50<" in drawn
    assert str(charts.stream([], 0)) == ""
