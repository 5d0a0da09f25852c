"""The table of engines in deploy/README.md is the one that the last results of the tests give."""

from __future__ import annotations

import ast
from pathlib import Path

from pipeline.engines.job_server import SPARK, JobServer
from pipeline.engines.options import EngineError
from tests.conftest import ROOT
from tests.deploy import job_servers
from tests.deploy.engine_table import README, ROWS, Row, read_junit, read_results, render, replace_table

JUNIT = """<testsuites><testsuite timestamp="2026-11-02T10:00:00">
<testcase classname="tests.a.test_x" name="test_one[1]"/>
<testcase classname="tests.a.test_x" name="test_one[2]"><failure message="no"/></testcase>
<testcase classname="tests.a.test_x" name="test_two"><skipped message="no Java"/></testcase>
<testcase classname="tests.a.test_y" name="test_one"/>
</testsuite></testsuites>"""


def test_the_table_is_in_step_with_the_results():
    text = README.read_text(encoding="utf-8")
    assert replace_table(text, render(ROWS, read_results())) == text, "run python -m tests.deploy.engine_table"


def test_results_are_of_tests_that_exist():
    for name in read_results():
        path, _, function = name.partition("::")
        defined = {each.name for each in ast.parse((ROOT / path).read_text()).body if isinstance(each, ast.FunctionDef)}
        assert function in defined, f"{name}: gone; take it out of deploy/engine_results.json"


def test_a_row_says_how_its_tests_ended(tmp_path):
    (tmp_path / "junit.xml").write_text(JUNIT)
    results = read_junit(tmp_path / "junit.xml")
    assert results["tests/a/test_x.py::test_one"] == {"outcome": "failed", "date": "2026-11-02"}
    rows = (Row("X", "x", "tests/a/test_x.py", ""), Row("Y", "y", "tests/a/test_y.py", ""), Row("Z", "z", "", ""))
    outcomes = [
        line.split(" | ")[-1].strip("| ") for line in render((*rows, Row("N", "n", "no", "")), results).splitlines()
    ]
    assert outcomes[2:] == ["2026-11-02: 1 skipped, 1 failed", "2026-11-02: 1 passed", "not checked", "not run yet"]


def test_a_trial_of_job_servers_names_what_is_missing(monkeypatch):
    """Outcomes as Maven tells them."""
    missing = "gristmill:job-server:jar:2: Could not find artifact org.apache.beam:beam-runners-x:jar:2 in central"
    answers = iter(["", missing, "no network"])

    def assemble(server: JobServer, beam: str, folder: Path) -> None:
        if answer := next(answers):
            raise EngineError(answer)

    monkeypatch.setattr(job_servers, "assemble_by_maven", assemble)
    trials = [job_servers.try_server(SPARK, beam)._replace(date="2026-01-02") for beam in ("1", "2", "3")]
    assert job_servers.describe(trials) == (
        "`beam-runners-spark-3`, tried on 2026-01-02: 1 is whole, 2 lacks `beam-runners-x`, 3 lacks `no network`"
    )
