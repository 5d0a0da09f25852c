"""The table of engines in deploy/README.md, made from the results of tests.

    pytest --junitxml=results.xml tests/pipeline/engines tests/pipeline/test_curate.py
    python -m tests.deploy.engine_table results.xml

The second command notes the outcomes in deploy/engine_results.json and writes the table again; without an argument it
only writes the table. A test that has not run, or was skipped, keeps its last outcome and date.
"""

from __future__ import annotations

import json
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.engines.job_server import PROVEN_BEAM
from tests.conftest import ROOT
from tests.deploy.job_servers import describe, read_trials

README = ROOT / "deploy/README.md"
RESULTS = ROOT / "deploy/engine_results.json"
BEGIN = "<!-- made by python -m tests.deploy.engine_table; do not edit -->"
END = "<!-- end -->"
Results = Mapping[str, Mapping[str, str]]  # file::function -> outcome, date


@dataclass(frozen=True)
class Row:
    """An engine: its command, the tests that run it, and what they run."""

    engine: str
    command: str
    tests: str  # a file, or file::test, or "" where no test can run it
    what: str


SPARK = "tests/pipeline/engines/test_spark.py"
ROWS = (
    Row("local", "`gristmill curate IN --output OUT`", "tests/pipeline/test_curate.py",
        "one and two workers; a run is killed and resumed"),
    Row("Beam", "`--engine beam`", "tests/pipeline/engines/test_direct.py",
        "equal bytes; `local` runs inputs up to 256 MB without Beam, larger ones by it"),
    Row("Spark", "`--engine spark --spark-master spark://HOST:7077`", SPARK,
        "standalone cluster of one master and two workers on the loopback (Spark 3.5.9, Java 17, job server of Beam "
        "2.62.0 under Beam 2.77.0 for Python); Python workers started by `loopback`, `process` and `external`; the "
        "job server is killed, then the command, then an executor in each of the four jobs and a Spark worker, each "
        "with its Python workers"),
    Row("containers", "`--engine spark --environment docker=IMAGE`", "tests/pipeline/engines/test_docker.py",
        "Spark starts containers of the image `worker`, made on a base from Debian's packages (below); input and "
        "output in a stand-in of S3"),
    Row("Flink", "`--engine flink --flink-master HOST:8081`", "tests/pipeline/engines/test_flink.py",
        "Flink 1.19 inside the job server (`[local]`); not tested on a separate Flink cluster"),
    Row("Dataflow", "`--engine dataflow --beam project=P --beam region=R --beam temp_location=gs://B/temp --beam "
        "sdk_container_image=I`", "tests/pipeline/engines/test_dataflow.py",
        "without Google's service: the options are checked, and the graphs of the four jobs are built and staged to a "
        "simulated bucket"),
    Row("job servers", "`--job-server WHERE`", "tests/pipeline/engines/test_job_server.py",
        f"that of the installed Beam where Maven has all of its parts, else that of {PROVEN_BEAM}. "
        f"{describe(read_trials())} (`python -m tests.deploy.job_servers`)"),
    Row("Spark on YARN or Kubernetes", "`--spark-master yarn` ...", "", "not tested"),
    Row("Dask", "refused", "tests/pipeline/engines/test_options.py",
        "Beam's Dask runner loses the output of `finish_bundle` without an error"),
    Row("any other", "refused; `--force-engine` uses it anyway", "tests/pipeline/engines/test_options.py",
        "compare `content_hash` with that of a local run before you use the output"),
)  # fmt: skip


def read_junit(path: Path) -> dict[str, dict[str, str]]:
    """The worst outcome of each test function in a JUnit file, and the day of the run."""
    found: dict[str, dict[str, str]] = {}
    order = ("passed", "skipped", "failed")
    for suite in ET.parse(path).getroot().iter("testsuite"):
        for case in suite.iter("testcase"):
            name = f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name', '').partition('[')[0]}"
            failed = any(case.find(tag) is not None for tag in ("failure", "error"))
            outcome = "failed" if failed else "skipped" if case.find("skipped") is not None else "passed"
            earlier = found.get(name, {}).get("outcome", outcome)
            found[name] = {"outcome": max(outcome, earlier, key=order.index), "date": suite.get("timestamp", "")[:10]}
    return found


def render(rows: Sequence[Row], results: Results) -> str:
    """The table in Markdown."""
    lines = ["| engine | command | what the tests run | tests | outcome of the last run |", "|---|---|---|---|---|"]
    for row in rows:
        tests = f"`{row.tests}`" if row.tests else ""
        lines.append(f"| {row.engine} | {row.command} | {row.what} | {tests} | {_outcome(row, results)} |")
    return "\n".join(lines)


def _outcome(row: Row, results: Results) -> str:
    if not row.tests:
        return "not checked"
    runs = [result for name, result in results.items() if name.startswith(row.tests)]
    if not runs:
        return "not run yet"
    counts = Counter(run["outcome"] for run in runs)
    first, last = min(run["date"] for run in runs), max(run["date"] for run in runs)
    days = last if first == last else f"{first} to {last}"
    return f"{days}: " + ", ".join(f"{counts[kind]} {kind}" for kind in ("passed", "skipped", "failed") if counts[kind])


def read_results() -> Results:
    """The noted outcomes."""
    return dict(json.loads(RESULTS.read_text(encoding="utf-8")))


def replace_table(text: str, table: str) -> str:
    """The page with this table between the two marks."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


def main(arguments: Sequence[str]) -> None:
    results = dict(read_results()) if RESULTS.exists() else {}
    files = tuple(row.tests.partition("::")[0] for row in ROWS if row.tests)
    for path in arguments:
        found = {name: result for name, result in read_junit(Path(path)).items() if name.startswith(files)}
        results.update(
            {name: each for name, each in found.items() if each["outcome"] != "skipped" or name not in results}
        )
    RESULTS.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    text = README.read_text(encoding="utf-8")
    README.write_text(replace_table(text, render(ROWS, results)), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
