"""What `gristmill whatif` says beside a real rerun, for the changes of `tests/pipeline/whatif/changes.py`.

    python -m tests.benchmarks.whatif [--files clueweb09-sample-00000.warc.gz real-warcs-00002.warc.gz]

Real pages from GRISTMILL_DATA (default ../shared/data). Every answer that replays all pages must equal the rerun in
pages, words, the pages lost and won, and weights; every sample of half the undecided pages, and of none, must cover it.
Ends with an error where one does not.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from pipeline.config import load_config
from pipeline.curate import plan_run, run_curation
from pipeline.reading.inputs import resolve_inputs
from tests.benchmarks import data_folder
from tests.pipeline.whatif.changes import ALL, STRICT, ask, check_against_rerun, covers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", nargs="+", default=["clueweb09-sample-00000.warc.gz", "real-warcs-00002.warc.gz"])
    parser.add_argument("--changes", nargs="+", default=list(ALL), choices=list(ALL))
    options = parser.parse_args()
    files = [str(data_folder() / "warc" / name) for name in options.files]
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        run_curation(plan_run(resolve_inputs(files), load_config(None, STRICT), str(run)))
        samples = [check(run, name, Path(folder) / f"rerun-{number}") for number, name in enumerate(options.changes)]
    print(
        f"{len(samples)} changes equal their reruns; {sum(map(sum, samples))} of {sum(map(len, samples))} samples cover"
    )
    if not all(map(all, samples)):
        raise SystemExit("a sample does not cover the truth")


def check(run: Path, name: str, output: Path) -> list[bool]:
    """Asks, reruns and compares; whether each sample covers the truth."""
    settings = ALL[name][0]
    start = time.perf_counter()
    answer = ask(run, settings)
    asked = time.perf_counter()
    check_against_rerun(run, settings, answer, output)
    seconds = (asked - start, time.perf_counter() - asked)
    samples = [ask(run, settings, count) for count in (0, answer.undecided // 2)] if answer.undecided > 1 else []
    found = [covers(sample, answer.kept_after, answer.words_after) for sample in samples]
    intervals = ", ".join("{:,} to {:,}".format(*sample.kept_interval) for sample in samples if sample.kept_interval)
    print(
        f"{name:<28}{answer.kept_before:>6,} → {answer.kept_after:<6,}{answer.replayed:>6,} replayed"
        f"   {seconds[0]:5.1f} s, rerun {seconds[1]:5.1f} s   {intervals}",
        flush=True,
    )
    return found


if __name__ == "__main__":
    main()
