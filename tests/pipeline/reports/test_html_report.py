"""report.html: the numbers of report.json, samples, escaping of hostile pages; some tests run in a browser."""

from __future__ import annotations

import json
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import lxml.html
import pyarrow.dataset as ds
import pytest

from pipeline.errors import UserError
from pipeline.reports import html_report
from pipeline.reports.formatting import measure
from pipeline.reports.run_warnings import run_warnings
from pipeline.reports.samples import SAMPLES, Samples, collect_samples
from pipeline.storage.layout import Layout
from tests.conftest import MINICRAWL
from tests.pipeline import browser

HOSTILE = '</script><script>window.hacked=1</script><img src=x onerror="window.hacked=1">"\'&<b>'


@pytest.fixture(scope="module")
def numbers(curated_minicrawl: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((curated_minicrawl / "report.json").read_text())
    return found


@pytest.fixture(scope="module")
def page(curated_minicrawl: Path) -> lxml.html.HtmlElement:
    return lxml.html.parse(str(curated_minicrawl / "report.html")).getroot()


@pytest.fixture(scope="module")
def hostile(numbers: dict[str, Any], curated_minicrawl: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report in which the texts of all pages are attacks."""
    samples = collect_samples(Layout(str(curated_minicrawl)), numbers["pages"])
    urls = ["javascript:window.hacked=1", "data:text/html,<script>alert(1)</script>", f"https://evil.example/{HOSTILE}"]
    for rows in samples.drops.values():
        for number, row in enumerate(rows):
            row.update(url=urls[number % 3], detail=HOSTILE, excerpt=HOSTILE, language=HOSTILE)
    for row in (*samples.kept, *samples.lowest_quality):
        row.update(url=urls[0], title=HOSTILE, text=HOSTILE, domain=HOSTILE)
    for pair in samples.duplicates:
        pair.update(url=urls[0], survivor_url=urls[1], left=[(HOSTILE, True)], right=[(HOSTILE, False)])
    samples.placeholders = {"EMAIL": [(HOSTILE, "<EMAIL_1>", HOSTILE)]}
    values = {**numbers, "hosts": [{"host": HOSTILE, "documents": 3}], "inputs": [{"name": HOSTILE, "bytes": 1}]}
    path = tmp_path_factory.mktemp("hostile") / "report.html"
    path.write_text(html_report.render(values, samples), encoding="utf-8")
    return path


def texts(page: lxml.html.HtmlElement, path: str) -> list[str]:
    return [" ".join(" ".join(element.itertext()).split()) for element in page.xpath(path)]


def test_headline_and_funnel_are_the_numbers_of_the_json(page: lxml.html.HtmlElement, numbers: dict[str, Any]) -> None:
    assert texts(page, "//h1") == [f"Of {numbers['pages']:,} pages, {numbers['kept']:,} were kept"]
    rows = texts(page, "//section[@aria-labelledby='funnel']//tbody/tr")
    left = numbers["pages"]
    for row, (stage, reasons) in zip(rows, numbers["dropped"].items(), strict=False):
        lost = sum(reasons.values())
        assert row.startswith(stage.replace("_", " "))
        assert re.findall(r"[\d,]+", row)[:2] == [f"{left:,}", f"{lost:,}"]
        left -= lost
    assert left == numbers["kept"]
    assert rows[-1] == f"kept {left:,}"


def test_the_header_names_input_time_and_command(page: lxml.html.HtmlElement, curated_minicrawl: Path) -> None:
    facts = dict(zip(texts(page, "//header//dt"), texts(page, "//header//dd"), strict=True))
    sizes = [path.stat().st_size for path in MINICRAWL.iterdir()]
    assert facts["Input"] == f"{len(sizes)} files, {sum(sizes):,} bytes"
    assert facts["Command"] == f"gristmill curate {MINICRAWL} --output {curated_minicrawl} --workers 2"
    assert facts["Content hash"] == json.loads((curated_minicrawl / "manifest.json").read_text())["content_hash"]
    day = r"(\d{4}-\d\d-\d\d \d\d:\d\d) UTC"
    began, ended = (
        datetime.strptime(time, "%Y-%m-%d %H:%M").replace(tzinfo=UTC)
        for time in re.fullmatch(rf"{day} to {day} \(\d.*\)", facts["Run"]).groups()
    )
    written = datetime.fromtimestamp((curated_minicrawl / "run.json").stat().st_mtime, UTC)
    assert timedelta() <= written - began < timedelta(minutes=2)
    finished = datetime.fromtimestamp((curated_minicrawl / "manifest.json").stat().st_mtime, UTC)
    assert timedelta() <= finished - ended < timedelta(minutes=2)


def test_every_reason_has_its_count_and_up_to_five_pages(page: lxml.html.HtmlElement, numbers: dict[str, Any]) -> None:
    for stage, reasons in numbers["dropped"].items():
        for reason, count in reasons.items():
            found = page.get_element_by_id(f"{stage}-{reason}")
            assert len(found.xpath(".//article")) == min(count, SAMPLES), (stage, reason)
            unit = "page" if count == 1 else "pages"
            assert f"{count:,} {unit}" in found.find("summary").text_content()


def test_charset_steps_are_those_of_all_pages_with_text(page: lxml.html.HtmlElement, numbers: dict[str, Any]) -> None:
    measured = numbers["kept"] + sum(
        sum(reasons.values())
        for stage, reasons in numbers["dropped"].items()
        if stage not in ("read_warc", "block_urls", "quick_look", "extract_text")
    )
    assert sum(numbers["charset_steps"].values()) == measured
    shown = texts(page, "//table[caption='How the charset of a page was found']/tbody/tr")
    assert shown == [f"{step.replace('_', ' ')} {n}" for step, n in numbers["charset_steps"].items()]


def test_samples_show_measurement_and_limit(page: lxml.html.HtmlElement, curated_minicrawl: Path) -> None:
    drops = ds.dataset(curated_minicrawl / "drops").to_table().to_pylist()
    limits = {
        row["url"]: f"measured {measure(row['value'])} < limit {measure(row['threshold'])}"
        for row in drops
        if row["reason"] == "would_be_too_short"
    }
    cards = page.xpath("//*[@id='quick_look-would_be_too_short']//article")
    assert len(cards) == SAMPLES
    for card in cards:
        assert texts(card, ".//*[@class='facts']")[0].startswith(limits[texts(card, "./h4")[0]])


def test_duplicates_are_shown_beside_their_survivors_with_the_differences_marked(page: lxml.html.HtmlElement) -> None:
    pair = next(
        item
        for item in page.xpath("//*[@aria-labelledby='duplicates']//details")
        if "near" in item.find("summary").text_content()
    )
    left, right = (item.text_content() for item in pair.xpath(".//*[@class='excerpt']"))
    marked = texts(pair, ".//mark")
    assert marked
    assert left != right
    assert set(left.split()) & set(right.split())


def test_personal_data_is_shown_as_placeholders_only(
    page: lxml.html.HtmlElement, numbers: dict[str, Any], curated_minicrawl: Path
) -> None:
    html = (curated_minicrawl / "report.html").read_text(encoding="utf-8")
    section = texts(page, "//section[@aria-labelledby='personal']")[0]
    assert "<EMAIL_1>" in section
    assert f"A second scan of {numbers['kept']} published texts found 0 values left." in section
    for secret in ("margaret.hollis@", "4111 1111", "AKIAIOSFODNN7", "DE89 3704", "536-22-8726", "81.2.69.142"):
        assert secret not in html


def test_a_rebuilt_report_has_the_same_bytes(curated_minicrawl: Path) -> None:
    before = (curated_minicrawl / "report.html").read_bytes()
    values = json.loads((curated_minicrawl / "report.json").read_text())
    assert (
        html_report.render(values, collect_samples(Layout(str(curated_minicrawl)), values["pages"])).encode() == before
    )


def test_the_report_is_one_file_that_loads_no_other(page: lxml.html.HtmlElement, curated_minicrawl: Path) -> None:
    html = (curated_minicrawl / "report.html").read_text(encoding="utf-8")
    assert not page.xpath("//@src | //link | //@style | //@onclick | //iframe | //object | //form")
    assert "url(" not in html
    assert "@import" not in html
    assert "default-src 'none'" in page.xpath("//meta[@http-equiv='Content-Security-Policy']/@content")[0]


def test_tables_have_headers_and_ids_are_unique(page: lxml.html.HtmlElement) -> None:
    for table in page.xpath("//table"):
        assert table.xpath(".//thead//th[@scope='col']")
        assert all(row.xpath("./th[@scope] | ./td[@colspan]") for row in table.xpath(".//tbody/tr"))
    ids = Counter(page.xpath("//@id"))
    assert [name for name, n in ids.items() if n > 1] == []
    targets = {link[1:] for link in page.xpath("//a/@href") if link.startswith("#")}
    assert targets <= set(ids)


def test_hostile_pages_are_escaped(hostile: Path) -> None:
    page = lxml.html.parse(str(hostile)).getroot()
    assert len(page.xpath("//script")) == 1
    assert not page.xpath("//img")
    assert all(re.match(r"https?://|#", link) for link in page.xpath("//a/@href"))
    shown = [element.text_content() for element in page.xpath("//*[@class='excerpt']")]
    assert shown.count(HOSTILE) > 10


def test_a_report_of_a_run_without_pages(numbers: dict[str, Any]) -> None:
    empty = {
        **numbers, "pages": 0, "kept": 0, "dropped": {}, "words": 0, "records": {}, "domains": [], "languages": [],
        "hosts": [], "dropped_hosts": [], "quality": {}, "group_sizes": {}, "duplicates": {}, "signals": {},
        "cpu_seconds": {}, "files": {}, "inputs": [],
    }  # fmt: skip
    assert "Of 0 pages, 0 were kept" in html_report.render(empty, Samples())


def test_too_many_repetitions_are_a_warning(numbers: dict[str, Any]) -> None:
    line = {"domain": "poetry", "documents": 1, "words": 90, "actual": 0.01, "target": 0.2, "weighted": 0.06,
            "repetitions": 6.5, "capped": 1.0}  # fmt: skip
    values = {**numbers, "domains": [line]}
    assert any("poetry: 6.5 effective repetitions" in text for text in run_warnings(values))
    page = lxml.html.fromstring(html_report.render(values, Samples()))
    assert texts(page, "//td[contains(@class, 'over')]") == ["6.50 ▲"]


def test_changed_settings_are_listed(numbers: dict[str, Any]) -> None:
    config = json.loads(json.dumps(numbers["config"]))
    config["identify_language"]["min_score"] = 0.4
    page = lxml.html.fromstring(html_report.render({**numbers, "config": config}, Samples()))
    rows = texts(page, "//section[@aria-labelledby='settings']//tr")
    assert "identify_language.min_score 0.4 0.65" in rows


def test_counts_are_of_everything_and_not_of_the_lines_that_are_shown(
    page: lxml.html.HtmlElement, numbers: dict[str, Any], curated_minicrawl: Path
) -> None:
    rows = ds.dataset(curated_minicrawl / "shards").to_table(columns=["language", "registered_domain"])
    tiles = texts(page, "//ul[@class='tiles']/li")
    assert f"{len(rows['language'].unique())} languages" in tiles
    assert f"{len(rows['registered_domain'].unique())} sites kept" in tiles
    values = {
        **numbers,
        "languages": [{"language": f"l{number}", "documents": 1, "words": 9} for number in range(40)],
        "counts": {"languages": 40, "sites": 4321, "sites_are_exact": False},
    }
    many = lxml.html.fromstring(html_report.render(values, Samples()))
    assert {"40 languages", "4,321+ sites kept, at least"} <= {*texts(many, "//ul[@class='tiles']/li")}
    assert any(text.startswith("all others 32") for text in texts(many, "//tr"))


def test_empty_bins_of_scores_have_their_place() -> None:
    bins = html_report.score_bins({"quality": {"0.00": 2, "0.95": 1}}, "quality", 1)
    assert [count for _, count in bins] == [2, *[0] * 18, 1]


def test_rebuilding_needs_a_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no report\.json;"):
        html_report.rebuild_report(str(tmp_path))


# --- in a real browser ---

_CONTRAST = """
const luminance = (rgb) => { const [r, g, b] = rgb.map((v) => (v /= 255) <= .03928 ?
    v / 12.92 : ((v + .055) / 1.055) ** 2.4);
  return .2126 * r + .7152 * g + .0722 * b; };
const parse = (text) => text.match(/[\\d.]+/g).map(Number);
const ground = (node) => { for (; node; node = node.parentElement) {
  const c = parse(getComputedStyle(node).backgroundColor);
  if (c.length === 3 || c[3] === 1) return c.slice(0, 3); } return [255, 255, 255]; };
const poor = new Set();
document.querySelectorAll("details").forEach((item) => (item.open = true));
for (const node of document.querySelectorAll("body *")) {
  if (node.closest("svg, script") || ![...node.childNodes].some((c) => c.nodeType === 3 && c.data.trim())) continue;
  const [a, b] = [luminance(parse(getComputedStyle(node).color).slice(0, 3)), luminance(ground(node))];
  const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
  if (ratio < 4.5) poor.add(`${node.tagName}.${node.className} ${ratio.toFixed(2)}`);
}
return [...poor];
"""


@pytest.mark.browser
@pytest.mark.parametrize(("width", "dark"), [(360, False), (800, True), (1280, False)])
def test_fits_the_window_loads_nothing_and_can_be_read(
    curated_minicrawl: Path, tmp_path: Path, width: int, dark: bool
) -> None:
    browser.require_browser()
    with browser.open_page(curated_minicrawl / "report.html", tmp_path, width=width, dark=dark) as driver:
        assert driver.get_log("browser") == []
        assert driver.execute_script("return performance.getEntriesByType('resource').length") == 0
        assert driver.execute_script("return document.documentElement.scrollWidth") <= width
        background = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert (background == "rgb(23, 22, 19)") is dark
        assert driver.execute_script(_CONTRAST) == []


@pytest.mark.browser
def test_filter_links_and_keyboard(curated_minicrawl: Path, tmp_path: Path) -> None:
    browser.require_browser()
    with browser.open_page(curated_minicrawl / "report.html", tmp_path) as driver:
        box = driver.find_element("id", "filter")
        assert box.is_displayed()
        box.send_keys("reprints-2")
        shown = driver.execute_script("return [...document.querySelectorAll('.reason:not([hidden])')].map((d) => d.id)")
        assert shown == ["deduplicate-near_duplicate"]
        box.clear()
        box.send_keys(" ")
        assert len(driver.find_elements("css selector", ".reason:not([hidden])")) > 5
        driver.execute_script("location.hash = '#read_warc-unreadable'")
        assert driver.execute_script("return document.getElementById('read_warc-unreadable').open")


@pytest.mark.browser
def test_hostile_pages_run_no_script_in_a_browser(hostile: Path, tmp_path: Path) -> None:
    browser.require_browser()
    with browser.open_page(hostile, tmp_path) as driver:
        driver.execute_script("document.querySelectorAll('details').forEach((item) => (item.open = true))")
        assert driver.execute_script("return window.hacked === undefined")
        assert driver.get_log("browser") == []
