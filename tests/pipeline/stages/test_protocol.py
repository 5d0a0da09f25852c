"""Every page stage follows the protocol, and has one name in module, settings and ledger."""

from __future__ import annotations

import inspect
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import Config
from pipeline.documents import Document
from pipeline.page_process.killable_process import PageLostReason
from pipeline.settings import Settings
from pipeline.stages import order, read_documents, read_warc
from pipeline.stages.order import PAGE_STAGES
from tests.pipeline.page_process.test_chain import PARAGRAPH, page

STAGES = Path(order.__file__).parent
TESTS = Path(__file__).parents[1]
READERS = {"read_warc": read_warc, "read_documents": read_documents}


def test_every_module_of_the_folder_is_in_the_flow() -> None:
    modules = {path.stem for path in STAGES.glob("[a-z]*.py")} - {"order", "protocol", "read_input"}
    assert modules == {*PAGE_STAGES, *READERS}


@pytest.mark.parametrize("stage", [*PAGE_STAGES, *READERS])
def test_a_stage_has_one_name(stage: str) -> None:
    module = PAGE_STAGES.get(stage) or READERS[stage]
    assert stage == module.NAME == Path(inspect.getfile(module)).stem  # type: ignore[arg-type]
    settings = getattr(Config(), stage)
    assert type(settings).__module__ == f"pipeline.stages.{stage}"
    assert type(settings).__name__ == stage.title().replace("_", "") + "Settings"
    assert (TESTS / "stages" / f"test_{stage}.py").exists()


@pytest.mark.parametrize("stage", PAGE_STAGES)
def test_a_page_stage_follows_the_protocol(stage: str) -> None:
    module, settings = PAGE_STAGES[stage], getattr(Config(), stage)
    assert isinstance(settings, Settings)
    assert len(module.REASONS) > 0
    assert len(set(module.SIGNALS)) == len(module.SIGNALS)
    assert all(path.is_file() for path in module.files(settings))
    built = module.build(settings)
    assert built.__name__ == stage


def test_a_stage_gives_the_same_for_the_same_record() -> None:
    record: Any = page(PARAGRAPH + "\nBread that is made of this flour keeps for a week and more.")
    for stage, module in PAGE_STAGES.items():
        built = module.build(getattr(Config(), stage))
        first = built(record)
        assert built(record) == first, stage
        record = first
    assert isinstance(record, Document)


@pytest.mark.parametrize(
    ("stage", "reason"),
    [
        # test_filter_heuristics.py has a page for every reason of its own.
        *((stage, reason) for stage in PAGE_STAGES for reason in PAGE_STAGES[stage].REASONS if "heur" not in stage),
        *((stage, reason) for stage, module in READERS.items() for reason in module.REASONS),
        *(("page_process", reason) for reason in PageLostReason),
    ],
)
def test_every_reason_is_in_a_test(stage: str, reason: StrEnum) -> None:
    files = {
        "read_warc": ["reading/test_warc.py", "reading/test_inputs.py"],
        "page_process": ["page_process/test_killable_process.py"],
    }
    paths = [TESTS / name for name in (*files.get(stage, []), f"stages/test_{stage}.py")]
    text = "".join(path.read_text() for path in paths if path.exists())
    assert f"Reason.{reason.name}" in text or f'"{reason}"' in text
