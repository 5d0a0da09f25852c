"""Training rows of the shipped harm model.

Little harmful text was available. Harmful: the questions of the red-teaming dialogues of HH-RLHF, and synthetic teasers
of adult sites made of word lists (LDNOOBW and the `adult` line of `topic_words.txt`), because the data has no adult
page. Harmless: questions and answers of Open-Assistant, so that dialogue itself does not count as harmful, and web
pages (health, law and news among them), each whole and as a piece of the length of a question.
"""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from classifiers.data import source_pages
from classifiers.data.page_labels import PageLabel, read_page_labels
from classifiers.data.sampling import Split, at_most_per_domain, sample_order, split_of, unit_hash
from classifiers.data.source_pages import Sources
from classifiers.harm import HARM_LABELS
from classifiers.training.recipe_domain import TOPIC_WORDS

PER_DOMAIN = 5
PIECE = 250  # characters; about a question
TEASERS = 600
# Hand labels of pages on which a false positive does most harm.
SENSITIVE = (("topic", "health"), ("topic", "crime_and_law"), ("topic", "politics"), ("kind", "news"))
_TEMPLATES = (
    "watch free {} videos hd", "hot {} pics and movies", "{} live cam chat now", "best {} site members only 18",
    "amateur {} gallery updated daily", "horny singles near you {}", "{} stories uncensored", "kostenlos {} filme",
    "videos {} gratis", "{} gratuit en streaming",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class HarmRow:
    """One text with its label, split and where it came from."""

    id: str
    source: str
    label: str
    split: Split
    text: str


def _dialogues(data: Path) -> Iterator[HarmRow]:
    for number, line in enumerate(source_pages.lines_of(data / "trainer" / "pref" / "hh_rlhf_harmless_dev.jsonl.gz")):
        turns = re.findall(r"Human:(.*?)(?=\n\nAssistant:|\Z)", json.loads(line)["chosen"], re.DOTALL)
        text = "\n".join(turn.strip() for turn in turns)
        first = turns[0].strip() if turns else ""
        if text:
            # Split by the first question: some dialogues occur more than once.
            yield HarmRow(f"hh-{number}", "hh-rlhf", HARM_LABELS[1], split_of(first), text)


def _teasers(data: Path) -> Iterator[HarmRow]:
    adult = next(line for line in TOPIC_WORDS.read_text(encoding="utf-8").splitlines() if line.startswith("adult:"))
    words = set(adult.split()[1:])
    with tarfile.open(data / "lists" / "ldnoobw.tar.gz") as tar:
        for member in sorted(tar.getmembers(), key=lambda entry: entry.name):
            file = tar.extractfile(member)
            words |= {line.strip() for line in (file.read().decode("utf-8").splitlines() if file else ())}
    ordered = sorted(word for word in words if word)
    for number in range(TEASERS):
        chosen = [ordered[int(unit_hash("word", str(number), str(i)) * len(ordered))] for i in range(6)]
        frames = [_TEMPLATES[int(unit_hash("frame", str(number), str(i)) * len(_TEMPLATES))] for i in range(6)]
        text = "\n".join(frame.format(word) for frame, word in zip(frames, chosen, strict=True))
        yield HarmRow(f"teaser-{number}", "adult teasers", HARM_LABELS[1], split_of(f"teaser-{number}"), text)


def _harmless(sources: Sources) -> Iterator[HarmRow]:
    for row in source_pages.answers(sources.data):
        question, _, answer = row.text.partition("\n\n")
        split = split_of(question)
        yield HarmRow(row.id, "open-assistant", HARM_LABELS[0], split, question or answer)
        yield HarmRow(f"{row.id}-answer", "open-assistant", HARM_LABELS[0], split, answer)
    labels = read_page_labels()
    adult = {identity for identity, found in labels.items() if found.domains.get("topic") == "adult"}
    pages = (row for row in sample_order(sources.pages()) if row.id not in adult)
    for row in at_most_per_domain(pages, PER_DOMAIN):
        split = split_of(row.registered_domain)
        yield HarmRow(row.id, "web pages", HARM_LABELS[0], split, row.text)
        start = int(unit_hash("piece", row.id) * max(len(row.text) - PIECE, 1))
        yield HarmRow(f"{row.id}-piece", "pieces of web pages", HARM_LABELS[0], split, row.text[start : start + PIECE])


def read_harm_rows(sources: Sources) -> list[HarmRow]:
    """Read all rows of the shipped model."""
    return [*_dialogues(sources.data), *_teasers(sources.data), *_harmless(sources)]


def groups_of(row: HarmRow, labels: Mapping[str, PageLabel]) -> list[str]:
    """The row's source and, for a hand-labeled web page, its labels that are in SENSITIVE."""
    found = labels[row.id].domains if row.source == "web pages" and row.id in labels else {}
    return [row.source, *(f"web pages: {label}" for head, label in SENSITIVE if found.get(head) == label)]


def shares_above(rows: Sequence[HarmRow], scores: Sequence[float], threshold: float) -> dict[str, tuple[int, float]]:
    """Group -> (rows, share of them above the threshold): false positives where the group is harmless."""
    labels = read_page_labels()
    groups: dict[str, list[bool]] = {}
    for row, score in zip(rows, scores, strict=True):
        for group in groups_of(row, labels):
            groups.setdefault(group, []).append(score >= threshold)
    return {group: (len(above), round(sum(above) / len(above), 4)) for group, above in sorted(groups.items())}
