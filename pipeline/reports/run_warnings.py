"""Warnings about a finished run, shown at the end of `curate`, in report.json and in report.html.

The ledger also gives a fate to a page on which a stage failed: an internal error in a stage once dropped 35 pages of a
run that was then reported as successful. The warnings report counts that no input should cause.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.ledger import FAILURES

# Up to about four epochs of the same text are nearly as good as new text; beyond that they teach little
# (Muennighoff et al. 2023, "Scaling Data-Constrained Language Models").
WARN_REPETITIONS = 4.0
WARN_FAILED_SHARE = 0.005  # of pages read; pages that break an extractor are far rarer
WARN_SAME_FAILURE = 10  # pages with the same error message; pages that break an extractor do so in different ways


def run_warnings(report: Mapping[str, Any]) -> list[str]:
    """The warnings, one line each, from the numbers of report.json."""
    duplicates = report["duplicates"].get("warnings", ())
    found = [*_nothing_kept(report), *_failures(report), *_personal_data(report), *duplicates, *_repetitions(report)]
    found += _removed(report)
    return [*found, *report.get("trends", {}).get("alarms", ())]


def _nothing_kept(report: Mapping[str, Any]) -> Iterator[str]:
    if not report["kept"]:
        losses = {stage: sum(reasons.values()) for stage, reasons in report["dropped"].items()}
        most = max(losses, key=lambda stage: losses[stage], default="no stage")
        yield f"nothing was kept of {report['pages']:,} pages; most were dropped by {most} ({losses.get(most, 0):,})"


def _failures(report: Mapping[str, Any]) -> Iterator[str]:
    failed, pages = failed_pages(report), report["pages"]
    frequent = [line for line in report.get("failures", ()) if line["pages"] >= WARN_SAME_FAILURE]
    if not frequent and failed <= WARN_FAILED_SHARE * pages:
        return
    yield (
        f"{failed:,} of {pages:,} pages ({failed / pages:.1%}) were dropped because a stage failed on them, not for "
        f"their content ({', '.join(sorted(FAILURES))})"
    )
    for line in frequent:
        yield f"{line['pages']:,} pages failed with one message, probably an internal error: {line['message']}"


def failed_pages(report: Mapping[str, Any]) -> int:
    """Pages that were dropped because a stage failed on them."""
    fates = (fate.split(":") for fate in FAILURES)
    return sum(report["dropped"].get(stage, {}).get(reason, 0) for stage, reason in fates)


def _personal_data(report: Mapping[str, Any]) -> Iterator[str]:
    finds = report["rescan"]["finds"]
    if finds:
        kinds = ", ".join(f"{kind} {count:,}" for kind, count in finds.items())
        yield (
            f"a second scan of {report['rescan']['documents']:,} published texts found personal data ({kinds}); "
            "run `gristmill audit` to find the documents"
        )


def _repetitions(report: Mapping[str, Any]) -> Iterator[str]:
    for line in report["domains"]:
        if line["repetitions"] > WARN_REPETITIONS:
            yield (
                f"{line['domain']}: {line['repetitions']:.1f} effective repetitions; beyond about "
                f"{WARN_REPETITIONS:g}, repeating text teaches little"
            )


def _removed(report: Mapping[str, Any]) -> Iterator[str]:
    words = report.get("removed", {}).get("words_in_weights", 0)
    if words:
        yield (
            f"the weights were computed with {words:,} words that were removed since, so the weighted shares are not "
            "the target shares; `gristmill remove OUTPUT --reweigh` computes them anew"
        )
