"""Conversations from pages of questions and answers in a curated dataset: few, and those that their text makes sure of.

pairs     at least two paragraphs "Q: ..." with "A: ..." after each
FAQ       at least three questions, each alone in a paragraph, below a heading such as "Frequently asked questions"
answered  a question, a line such as "Accepted Answer" or "3 Answers", and the first answer
thread    a page of kind `forum`, posts under a name and a date: a question, and the first reply of somebody else that
          asks nothing

A last answer on a page has no end that the text shows, so it is its first paragraph. Pages of shops and listings are
left out: their questions are advertisement.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from trainer.chat.conversation import ConversationError, Message, make_conversation, make_message, prompt_key
from trainer.data.curated_dataset import Dataset, fetch_shard, read_rows
from trainer.errors import UserError
from trainer.files import write_atomically

LEFT_OUT = {"shop", "listing"}  # kinds of pages
MIN_ANSWER_WORDS = 8
MAX_ANSWER_WORDS = 1000
MAX_QUESTION_WORDS = 500
_QUESTION = re.compile(r"^(?:Q|Question)(?: ?\d{1,3})?[:.)] *", re.MULTILINE)
_ANSWER = re.compile(r"^(?:A|Answer)(?: ?\d{1,3})?[:.)] *", re.MULTILINE)
_FAQ = re.compile(r"^[#* ]*.{0,40}\b(?:faqs?|frequently asked questions)\b.{0,40}$", re.IGNORECASE | re.MULTILINE)
_ASKED_ALONE = re.compile(r"^[#* ]*(?:\d{1,3}[.)] *)?([^\n]{10,150}\?)[* ]*$")
_ANSWERS = re.compile(r"^(?:(?:accepted|best) answer(?: by .{1,40})?|\d{1,4} answers?)$", re.IGNORECASE | re.MULTILINE)
_NEXT_ANSWER = re.compile(r"^(?:(?:answer by .{1,40})|(?:\d{1,4} answers?))$", re.IGNORECASE | re.MULTILINE)
_ANSWERED = re.compile(r"(?:^|\n)[^\n]{1,40}\n(?:answered|edited) [^\n]{4,40}\n")
_ASKED_BY = re.compile(r"^asked (?:by|on) .{1,60}$", re.IGNORECASE | re.MULTILINE)
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}"
_POST = re.compile(  # a name, and below it a line with a date
    r"(?:^|\n)(?P<name>[^\n?!:;]{0,39}[^\n.?!:;,])\n(?=[^\n]{6,40}\n)(?=[^\n]*\b(?:19|20)\d\d\b)"
    rf"[^\n]{{0,12}}(?:\b{_MONTH}\b|\b\d{{1,4}}[./-]\d{{1,2}}[./-])[^\n]*\n",
    re.IGNORECASE,
)


class Exchange(NamedTuple):
    """A question with its answer, and the structure of the page that shows them."""

    question: str
    answer: str
    structure: str


def find_exchanges(text: str, title: str = "", kind: str | None = None) -> list[Exchange]:
    """The questions of a page that the structure of its text shows to be answered, by the first structure that fits."""
    if kind in LEFT_OUT:
        return []
    for found in (_pairs(text), _faq(text), _answered(text, title), _thread(text, title) if kind == "forum" else []):
        if good := [exchange for exchange in found if _is_good(exchange)]:
            return good
    return []


def _is_good(exchange: Exchange) -> bool:
    """Whether both have a length to learn from, something is asked, and the answer does not stop before a list."""
    asked, said = len(exchange.question.split()), len(exchange.answer.split())
    if exchange.answer.endswith(":") or "?" not in exchange.question:
        return False
    return asked <= MAX_QUESTION_WORDS and MIN_ANSWER_WORDS <= said <= MAX_ANSWER_WORDS


def _first_paragraph(text: str) -> str:
    return text.strip().partition("\n\n")[0]


def _pairs(text: str) -> list[Exchange]:
    starts = [found.start() for found in _QUESTION.finditer(text)]
    if len(starts) < 2:
        return []
    exchanges = []
    for begin, end in pairwise([*starts, len(text)]):
        part = text[begin:end]
        if answer := _ANSWER.search(part):
            question, said = part[: answer.start()], part[answer.end() :]
            said = _first_paragraph(said) if end == len(text) else said
            exchanges.append(Exchange(_QUESTION.sub("", question).strip(), said.strip(), "pairs"))
    return exchanges if len(exchanges) >= 2 else []


def _faq(text: str) -> list[Exchange]:
    heading = _FAQ.search(text)
    if heading is None:
        return []
    exchanges: list[Exchange] = []
    asked, said = "", list[str]()
    paragraphs = re.split(r"\n\s*\n", text[heading.end() :].strip())
    for paragraph in [*paragraphs, ""]:
        first, _, rest = paragraph.strip().partition("\n")
        question = _ASKED_ALONE.fullmatch(first)
        if paragraph and not question:
            said.append(paragraph.strip())
            continue
        if asked and said:
            exchanges.append(Exchange(asked, "\n\n".join(said if paragraph else said[:1]), "FAQ"))
        asked, said = question[1] if question else "", [rest.strip()] if rest.strip() else []
    return exchanges if len(exchanges) >= 3 else []


def _answered(text: str, title: str) -> list[Exchange]:
    marker = _ANSWERS.search(text)
    if marker is None:
        return []
    body = _ASKED_BY.sub("", text[: marker.start()]).strip()
    said = text[marker.end() :]
    if byline := _ANSWERED.match(said.lstrip("\n")):
        said = said.lstrip("\n")[byline.end() :]
    ends = [found.start() for found in (_ANSWERED.search(said), _NEXT_ANSWER.search(said)) if found]
    said = said[: min(ends)] if ends else _first_paragraph(said)
    return [Exchange(_with_title(title, body), said.strip(), "answered")] if body else []


def _thread(text: str, title: str) -> list[Exchange]:
    posts = list(_POST.finditer(text))
    if len(posts) < 2 or posts[0].start():
        return []
    ends = [*(post.start() for post in posts[1:]), len(text)]
    said = [(post["name"].strip(), text[post.end() : end].strip()) for post, end in zip(posts, ends, strict=True)]
    asker, question = said[0]
    if not title.rstrip().endswith("?") and not re.search(r"\?\s", f"{question}\n"):
        return []
    for name, answer in said[1:]:
        if name != asker and "?" not in answer and len(answer.split()) >= MIN_ANSWER_WORDS:
            answer = _first_paragraph(answer) if answer == said[-1][1] else answer
            return [Exchange(_with_title(title, question), answer, "thread")]
    return []


def _with_title(title: str, body: str) -> str:
    return body if not title.strip() or title.strip() in body else f"{title.strip()}\n\n{body}"


@dataclass
class PageReport:
    """What was found in the documents of a dataset."""

    documents: int = 0
    pages: int = 0  # with an exchange
    structures: Counter[str] = field(default_factory=Counter)  # conversations of each
    repeated: int = 0  # questions that an earlier page had

    def describe(self) -> str:
        """One line."""
        kinds = ", ".join(f"{name} {count:,}" for name, count in self.structures.most_common())
        repeated = f"; {self.repeated:,} repeated questions left out" if self.repeated else ""
        total = self.structures.total()
        return f"{total:,} conversations ({kinds}) from {self.pages:,} of {self.documents:,} documents{repeated}"


def write_page_conversations(dataset: Dataset, output: Path) -> PageReport:
    """Write the exchanges of a dataset as JSON lines with `messages`, their page's `id` and `url`, and the structure.

    Raises UserError where no page has any.
    """
    report = PageReport()
    lines = list(_page_lines(dataset, report))
    if not lines:
        raise UserError(f"{dataset.root}: none of {report.documents:,} documents is a page of questions and answers")
    write_atomically(output, "".join(lines))
    return report


def _page_lines(dataset: Dataset, report: PageReport) -> Iterator[str]:
    seen: set[str] = set()
    with tqdm(total=dataset.rows, unit=" documents", desc="search", disable=None) as bar:
        for shard in dataset.shards:
            with fetch_shard(shard) as path:
                for batch in read_rows(path, shard.path, ("id", "url", "title", "text", "kind")):
                    for row in batch.to_pylist():
                        report.documents += 1
                        found = find_exchanges(row["text"], row["title"] or "", row["kind"])
                        report.pages += bool(found)
                        for exchange in found:
                            yield from _conversation_line(row["id"], row["url"], exchange, seen, report)
                    bar.update(batch.num_rows)


def _conversation_line(
    document: str, url: str | None, exchange: Exchange, seen: set[str], report: PageReport
) -> Iterator[str]:
    try:
        messages = [make_message("user", exchange.question), make_message("assistant", exchange.answer, train=True)]
        conversation = make_conversation(messages)
    except ConversationError:  # a text that training would refuse, too
        return
    if (key := prompt_key(conversation.prompt)) in seen:
        report.repeated += 1
        return
    seen.add(key)
    report.structures[exchange.structure] += 1
    row = {
        "messages": [_as_json(message) for message in messages],
        "id": document,
        "url": url,
        "structure": exchange.structure,
    }
    yield json.dumps(row, ensure_ascii=False) + "\n"


def _as_json(message: Message) -> dict[str, str]:
    return {"role": message.role, "content": message.content}
