"""Advice beside losses: every stage has some, and what it names can be set."""

from __future__ import annotations

import re
from functools import reduce

import pytest

from pipeline.config import Config
from pipeline.heuristics.rules import HeuristicReason
from pipeline.reports.advice import advice
from pipeline.stages.order import PAGE_STAGES, STAGES

# Of filter_heuristics, every rule has a line of its own.
LINES = {(stage, ""): advice(stage) for stage in STAGES if stage != "filter_heuristics"}
LINES |= {("filter_heuristics", str(reason)): advice("filter_heuristics", reason) for reason in HeuristicReason}


@pytest.mark.parametrize(("stage", "reason"), LINES)
def test_every_loss_has_advice_that_names_settings_of_its_stage(stage: str, reason: str) -> None:
    line = LINES[stage, reason]
    names = re.findall(r"\b[a-z_]+(?:\.[a-z0-9_]+)+", line)
    assert any(name.startswith(f"{stage}.") for name in names) or f"table {stage}" in line
    for name in names:
        reduce(getattr, name.split("."), Config())  # raises AttributeError for a setting that does not exist


def test_the_settings_that_reasons_name_exist() -> None:
    lines = [advice(stage, str(reason)) for stage, module in PAGE_STAGES.items() for reason in module.REASONS]
    names = re.findall(r"\b(?:[a-z_]+)(?:\.[a-z0-9_]+)+", " ".join(lines))
    assert len(names) > 20
    for name in names:
        reduce(getattr, name.split("."), Config())
