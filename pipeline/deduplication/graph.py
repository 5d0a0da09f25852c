"""The steps of deduplication in their order, for any engine: Beam (exchange.py), or this process (direct.py).

    messages ─► exact duplicates ─► near duplicates ─► survivors ─► repeated lines ─► verdicts ─► counts
                URL, then text      rounds, then       follow       long paragraphs,  one file
                                    the rest           the links    boilerplate       per unit

Each function takes and returns messages: all results so far about the documents of each unit. Repeated lines come last,
among the surviving documents: no line is kept only in a document that is dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar

from pipeline.deduplication import exact, near, repeated_lines, survivors
from pipeline.deduplication.messages import Inbox, Job, Message, count_keys
from pipeline.deduplication.write_verdicts import write_unit_verdicts

UnitStep = Callable[[Job, Inbox], Iterator[Any]]
PartitionStep = Callable[[Job, Sequence[Any]], Iterator[Message]]
Messages = TypeVar("Messages")  # as the engine has them: Beam's PCollection, or a list


class Steps(Protocol[Messages]):
    """What an engine does; every step has a label of its own."""

    @property
    def job(self) -> Job: ...

    def at_units(self, label: str, step: UnitStep, *messages: Messages) -> Messages:
        """Messages, grouped by unit -> one call per unit -> messages, parcels or results."""

    def exchange(self, label: str, at_unit: UnitStep, at_partition: PartitionStep, *messages: Messages) -> Messages:
        """Messages -> one call per unit -> parcels, grouped by partition -> one call per partition -> messages."""

    def merge(self, label: str, *messages: Messages) -> Messages:
        """All of them together."""

    def finish(self, label: str, step: UnitStep, messages: Messages) -> Messages:
        """`at_units` with results that are no messages."""


def deduplicate(steps: Steps[Messages], units: Messages, last: UnitStep = write_unit_verdicts) -> Messages:
    """Messages (unit number, ("unit", StagedUnit)) -> counts of each unit; the verdict files are written on the way.

    Another `last` step gives its own results, and does something else with the verdicts.
    """
    messages = drop_exact_duplicates(steps, units)
    messages = drop_near_duplicates(steps, messages)
    messages = name_survivors(steps, messages)
    messages = find_repeated_lines(steps, messages)
    return steps.finish("Write verdicts", last, messages)


def drop_exact_duplicates(steps: Steps[Messages], messages: Messages) -> Messages:
    """Adds `duplicates`: all but the best document of each URL, then all but the best of each text."""
    by_url = steps.exchange("Same URL", exact.send_url_keys, exact.drop_same_url, messages)
    by_text = steps.exchange("Same text", exact.send_text_keys, exact.drop_same_text, messages, by_url)
    return steps.merge("Exact duplicates", messages, by_url, by_text)


def drop_near_duplicates(steps: Steps[Messages], messages: Messages) -> Messages:
    """Adds `duplicates`: documents similar to a better one that is kept (the algorithm: near.py)."""
    counts = steps.exchange("Count bands", near.send_band_keys, count_keys, messages)
    for turn in range(steps.job.settings.rounds):
        send = partial(near.send_to_shared_buckets, turn=turn)
        matches = steps.exchange(f"Compare {turn}", send, near.compare_buckets, messages, counts)
        decisions = steps.at_units(f"Decide {turn}", partial(near.decide, turn=turn), matches)
        messages = steps.merge(f"Decided {turn}", messages, decisions)
    send = partial(near.send_to_one_place, turn=steps.job.settings.rounds)
    rest = steps.exchange("Decide the rest", send, near.deduplicate_sequentially, messages)
    return steps.merge("Near duplicates", messages, rest)


def name_survivors(steps: Steps[Messages], messages: Messages) -> Messages:
    """Replaces the links of `duplicates` by `dropped` and `represents`: which kept document represents which."""
    links = steps.at_units("Choose links", survivors.choose_links, messages)
    links = steps.at_units("Follow links", survivors.follow_links, links)
    links = steps.at_units("Follow links again", survivors.follow_links, links)
    return steps.at_units("Name survivors", survivors.name_survivors, messages, links)


def find_repeated_lines(steps: Steps[Messages], messages: Messages) -> Messages:
    """Adds `counts` of lines, and `kept_elsewhere`: lines of survivors to be kept on another page only."""
    counts = steps.exchange("Count lines", repeated_lines.send_line_keys, count_keys, messages)
    send, keep = repeated_lines.send_shared_lines, repeated_lines.keep_on_best_page
    elsewhere = steps.exchange("Keep on the best page", send, keep, messages, counts)
    return steps.merge("Repeated lines", messages, counts, elsewhere)
