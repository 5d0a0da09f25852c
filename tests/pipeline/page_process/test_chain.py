"""The page stages one after the other, without a child process; the ledger gets no personal data."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum

import psutil
import pytest

from pipeline.config import Config
from pipeline.deduplication.sketch import SKETCH_FIELDS
from pipeline.documents import Document, Dropped, Page
from pipeline.page_process.chain import Chain, build_chain, close_started_worker, open_worker, start_worker
from pipeline.stages.order import PAGE_STAGES, signal_names
from pipeline.text import EXCERPT_CHARACTERS

PARAGRAPH = (
    "The mill stands where the river bends, and the miller who works it has learned to listen to the stones. "
    "When the grain runs dry the sound changes, and he walks up the stairs to fill the hopper again. "
    "Flour that is ground too fast becomes warm and loses its taste, so he keeps the gate half closed. "
)
HTML = (
    "<html><head><title>The mill {title}</title></head><body><article><h1>The mill</h1>{body}</article></body></html>"
)


class Reason(StrEnum):
    TEST = "test"


def page(body: str, title: str = "") -> Page:
    html = HTML.format(title=title, body="".join(f"<p>{part}</p>" for part in body.split("\n")))
    return Page("https://mill.example/a", "2026-10-01T00:00:00Z", "f.warc.gz", 7, html.encode(), host="mill.example")


@pytest.fixture(scope="module")
def chain() -> Chain:
    return build_chain(Config().model_dump_json())


def test_a_good_page_passes_every_stage_in_order(chain):
    steps = list(chain.steps(page(PARAGRAPH + "\nBread that is made of this flour keeps for a week and more.")))
    assert [name for name, _, _ in steps] == list(PAGE_STAGES)
    document = steps[-1][1]
    assert isinstance(document, Document)
    assert "listen to the stones" in document.text
    assert set(document.signals) <= set(signal_names())


def test_its_outcome_has_sketch_and_costs(chain):
    outcome = chain(page(PARAGRAPH + "\nBread made of it keeps for a week."))
    assert isinstance(outcome.result, Document)
    assert set(outcome.sketch) == {field.name for field in SKETCH_FIELDS}
    assert set(outcome.cpu_seconds) == {*PAGE_STAGES, "deduplicate"}


def test_the_same_page_twice_is_the_same_document(chain):
    first, second = chain(page(PARAGRAPH)), chain(page(PARAGRAPH))
    assert (first.result, first.sketch) == (second.result, second.sketch)


def test_a_dropped_page_has_no_personal_data_in_the_ledger(chain):
    document = Document(
        "id", "u", "t", "f", 0, "h", "h", title="Write to jo.doe@mail-host.net", text="jo.doe@mail-host.net " * 200
    )
    shown = chain.prepare_for_ledger(Dropped(document, "any", Reason.TEST, detail="line of jo.doe@mail-host.net"))
    record = shown.record
    assert isinstance(record, Document)
    for text in (record.title, shown.detail, shown.excerpt):
        assert "jo.doe" not in text
        assert "EMAIL" in text
    assert len(shown.excerpt) <= EXCERPT_CHARACTERS
    assert record.text == ""


def test_a_dropped_page_is_returned_without_its_bytes(chain):
    shown = chain.prepare_for_ledger(Dropped(page("x"), "any", Reason.TEST, excerpt="call +1 212 555 0123 now"))
    assert isinstance(shown.record, Page)
    assert shown.record.content == b""


def test_an_exception_in_a_stage_names_the_stage(chain):
    broken = Chain.__new__(Chain)
    broken.config = chain.config

    def fails(_):
        raise ZeroDivisionError("division by zero")

    broken.stages = {"block_urls": chain.stages["block_urls"], "scrub_pii": fails}
    with pytest.raises(RuntimeError, match="scrub_pii: ZeroDivisionError: division by zero"):
        broken(page("x"))


def test_ids_are_of_url_time_and_bytes():
    one = page("x")
    assert one.id == page("x").id
    assert len({one.id, page("y").id, replace(one, url="u").id, replace(one, fetched_at="t").id}) == 4


def test_a_started_page_process_is_opened_once_and_only_with_its_settings() -> None:
    config = Config()
    other = config.model_copy(update={"page_process": config.page_process.model_copy(update={"wall_seconds": 7.0})})
    before = {child.pid for child in psutil.Process().children()}
    start_worker(config)
    (started,) = (child for child in psutil.Process().children() if child.pid not in before)
    with open_worker(config) as worker:
        assert worker.run(page(PARAGRAPH)).cpu_seconds["extract_text"] > 0
        assert started.is_running()
        assert {child.pid for child in psutil.Process().children()} == before | {started.pid}
        start_worker(config)
        with open_worker(other):  # has other settings: the started process is of no use
            assert {child.pid for child in psutil.Process().children()} == before | {started.pid}
    start_worker(config)
    close_started_worker()
    assert {child.pid for child in psutil.Process().children()} == before
