"""What a person must see before using a dataset: said at the end of `curate`, in report.json and in report.html.

The ledger gives every page a fate, and so it would also hide a fault of our own: a NameError in a stage once was the
fate of 35 pages of one run, and the run was "done". Alarms look at the counts for what no input should cause.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.ledger import FAILURES

# Up to about four epochs of the same text are nearly as good as new text; beyond that they teach little
# (Muennighoff et al. 2023, "Scaling Data-Constrained Language Models").
WARN_REPETITIONS = 4.0
# Of pages read; those that break an extractor are far rarer, and each does it in its own way.
WARN_FAILED_SHARE = 0.005
WARN_SAME_FAILURE = 10  # pages with one and the same error message


def run_warnings(report: Mapping[str, Any]) -> list[str]:
    """One line each, from the numbers of report.json."""
    return [*_failures(report), *_leaks(report), *report["duplicates"].get("warnings", ()), *_repetitions(report)]


def _failures(report: Mapping[str, Any]) -> Iterator[str]:
    failed, pages = failed_pages(report), report["pages"]
    often = [line for line in report.get("failures", ()) if line["pages"] >= WARN_SAME_FAILURE]
    if not often and failed <= WARN_FAILED_SHARE * pages:
        return
    yield (
        f"{failed:,} of {pages:,} pages ({failed / pages:.1%}) are out because a stage failed on them, not for what "
        "they are (extract_text: extraction_error, page_process: crashed)"
    )
    for line in often:
        yield f"{line['pages']:,} pages failed alike, which looks like a fault of ours: {line['message']}"


def failed_pages(report: Mapping[str, Any]) -> int:
    """Pages that a stage failed on."""
    fates = (fate.split(":") for fate in FAILURES)
    return sum(report["dropped"].get(stage, {}).get(reason, 0) for stage, reason in fates)


def _leaks(report: Mapping[str, Any]) -> Iterator[str]:
    found = report["rescan"]["finds"]
    if found:
        kinds = ", ".join(f"{kind} {count:,}" for kind, count in found.items())
        yield (
            f"personal data is left in the published texts ({kinds} in the {report['rescan']['documents']:,} that were "
            "scanned once more); see `gristmill audit`"
        )


def _repetitions(report: Mapping[str, Any]) -> Iterator[str]:
    for line in report["domains"]:
        if line["repetitions"] > WARN_REPETITIONS:
            yield (
                f"{line['domain']}: {line['repetitions']:.1f} effective repetitions; beyond about "
                f"{WARN_REPETITIONS:g}, repeating text teaches little"
            )
