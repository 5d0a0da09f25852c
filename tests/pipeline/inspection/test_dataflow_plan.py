"""`gristmill plan --engine dataflow`: machines, workers, shuffle and cost."""

from __future__ import annotations

import re

import pytest

from pipeline.deduplication.settings import DeduplicateSettings
from pipeline.errors import UserError
from pipeline.inspection.dataflow_plan import DataflowPlan, Prices
from pipeline.inspection.plan import Plan, Sample
from tests.conftest import MINICRAWL


def plan_for(files: int, peak_memory: int = 800_000_000, cpu_seconds: float = 36.0) -> DataflowPlan:
    """A sample of a thousandth of a file; 16 units a file."""
    sample = Sample(bytes=1_000_000, pages=40, kept=20, cpu_seconds=cpu_seconds, peak_memory=peak_memory)
    plan = Plan(sample, files, 16 * files, files * 10**9, 2, shuffle_bytes=1000)
    return DataflowPlan(plan, DeduplicateSettings())


def test_the_plan_of_a_thousand_files_agrees_with_a_calculation_by_hand():
    plan = plan_for(1000)
    assert plan.core_hours == pytest.approx(10_000)  # 36 s x 1,000 x 1,000 / 3,600
    assert plan.memory_per_core == pytest.approx(1.25e9 * 4 / 3)
    assert plan.machine == "n2-standard-4"
    assert plan.max_workers == 313  # 10,000 hours in 8 on 4 cores
    assert plan.disk_gb == 31
    assert plan.shuffle_gb == pytest.approx(20)  # 20 million documents of 1 kB
    assert plan.partitions == 313  # of 64 MB
    an_hour = 0.056 + 4 * 0.003557 + 31 / 4 * 0.000054
    assert plan.cost == pytest.approx(10_000 * an_hour + 20 * 0.011)
    assert f"${plan.cost:,.0f} for 1,000 WARC files" in plan.describe()


def test_the_cost_per_thousand_files_does_not_depend_on_their_number():
    thousand = [plan_for(files).describe().split(", $")[1].split(" ")[0] for files in (10, 1000)]
    assert thousand[0] == thousand[1]


def test_a_small_run_gets_no_more_workers_than_units():
    assert plan_for(1, cpu_seconds=360_000).max_workers == 4


@pytest.mark.parametrize(
    ("peak", "machine"), [(200_000_000, "n2-highcpu-4"), (2_000_000_000, "n2-standard-4"), (5 * 10**9, "n2-highmem-4")]
)
def test_the_machine_type_has_enough_memory(peak, machine):
    assert plan_for(10, peak_memory=peak).machine == machine


def test_a_worker_too_large_for_every_machine_type_is_refused():
    with pytest.raises(UserError, match="no machine type"):
        plan_for(10, peak_memory=20 * 10**9).describe()


def test_the_command_prints_machine_disk_workers_shuffle_cost_and_assumptions(gristmill):
    command = ("plan", MINICRAWL, "--sample-pages", 20, "--engine", "dataflow", "--price", "core_hour=0.25")
    printed = gristmill(*command).stdout
    assert re.search(r"^machine n2-\w+-4,", printed, re.MULTILINE)
    assert re.search(r"^disk    disk_size_gb=\d+$", printed, re.MULTILINE)
    assert re.search(r"^workers max_num_workers=\d+:", printed, re.MULTILINE)
    assert re.search(
        r"^shuffle [\d.]+ GB of keys in \d+ shards \(of 64 MB\), by the shuffle service$", printed, re.MULTILINE
    )
    assert re.search(r"^cost    \$[\d.]+, \$[\d,]+ for 1,000 WARC files of 1 GB$", printed, re.MULTILINE)
    assert "core_hour=$0.25, memory_gb_hour=$" in printed
    assert re.search(r"^assumed .*prices are unverified list prices", printed, re.MULTILINE)
    refused = gristmill(*command, "--price", "core=1", check=False)
    assert refused.returncode == 2
    assert "expected NAME=DOLLARS" in refused.stderr


def test_prices_are_given_by_name():
    assert Prices.parse(["core_hour=0.1"]).core_hour == 0.1
    for wrong in ("core=1", "core_hour=cheap", "core_hour"):
        with pytest.raises(UserError, match="expected NAME=DOLLARS"):
            Prices.parse([wrong])
    with pytest.raises(UserError, match=r"shuffle_gb; did you mean core_hour\?"):
        Prices.parse(["core_hours=1"])
    assert "deduplication" in plan_for(10).describe()
