"""Read rows from the folder of real pages that the shipped models are trained on (the README lists its contents).

Everything is read in a fixed order. Extracted pages are cached under `work`; the cache file's name holds the digest of
its inputs.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from tqdm import tqdm

from classifiers.data.extraction_gold import WCXB, read_wcxb
from classifiers.data.page_labels import read_page_labels
from classifiers.data.page_text import (
    CORPUS_VERSION,
    PageExtractor,
    TextRow,
    id_of,
    read_page,
    read_rows,
    read_warc,
    write_rows,
)
from classifiers.data.wikitext import plain_text
from classifiers.errors import UserError

WEBKB_SHARE = 0.25  # 8,202 of 11,360 pages are from a few universities of 1997; a quarter is used
ARTICLE_CHARACTERS = 30_000  # of wikitext; the parser is slow and a model looks at 20,000 characters


@dataclass(frozen=True, slots=True)
class Sources:
    """The folder of real pages, what extracts their text, and the folder where the text is cached."""

    data: Path
    work: Path
    extract: PageExtractor

    def pages(self) -> list[TextRow]:
        """The pages of the WARC files and of WCXB: main text, boilerplate and signals of the extraction."""
        files = sorted((self.data / "warc").glob("*.warc.gz"))
        if not files:
            raise UserError(f"{self.data}/warc holds no .warc.gz file: name the data folder with --data")
        cached = self.work / f"pages-{self._digest(files)}.jsonl"
        if not cached.exists():
            self.work.mkdir(parents=True, exist_ok=True)
            write_rows(self._read(files), cached)
        return list(read_rows(cached))

    def _digest(self, files: Sequence[Path]) -> str:
        made_from = sha256(f"{CORPUS_VERSION} {WEBKB_SHARE} {self.extract.version}\n".encode())
        for file in (*files, *self._wcxb()):
            made_from.update(f"{file.name} {file.stat().st_size}\n".encode())
        made_from.update("".join(sorted(read_page_labels())).encode())
        return made_from.hexdigest()[:16]

    def _read(self, files: Sequence[Path]) -> Iterator[TextRow]:
        """Each page once: some are in two collections."""
        labeled = read_page_labels().keys()
        seen: set[str] = set()
        for row in self._read_all(tqdm(files, desc="extracting text", unit="file"), labeled):
            if row.id not in seen:
                seen.add(row.id)
                yield row

    def _read_all(self, files: Iterable[Path], labeled: Collection[str]) -> Iterator[TextRow]:
        for file in files:
            share = WEBKB_SHARE if file.name.startswith("webkb") else 1.0
            yield from read_warc(file, self.extract, share, labeled)
        if self._wcxb():
            for page in read_wcxb(self.data):
                yield from read_page(page.html.encode(), "utf-8", page.url, "wcxb", self.extract)

    def _wcxb(self) -> list[Path]:
        path = self.data / WCXB
        return [path] if path.is_file() else []


def lines_of(path: Path) -> Iterator[str]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        yield from (line.rstrip("\n") for line in file)


def articles(data: Path, languages: tuple[str, ...] = ()) -> Iterator[TextRow]:
    """The Wikipedia articles; if `languages` are given, only of those."""
    for line in lines_of(data / "wiki" / "articles.jsonl.gz"):
        article = json.loads(line)
        if languages and article["lang"] not in languages:
            continue
        text = plain_text(article["text"][:ARTICLE_CHARACTERS])
        if len(text) >= 200:
            url = f"https://{article['lang']}.wikipedia.org/wiki/{article['title'].replace(' ', '_')}"
            yield TextRow(id_of(url.encode()), url, f"wikipedia-{article['lang']}", article["title"], text)


def answers(data: Path) -> Iterator[TextRow]:
    """Question and answer of every assistant turn of the Open-Assistant trees (instruction data, as in DCLM)."""
    for line in lines_of(data / "trainer" / "sft" / "oasst_en_100_tree.jsonl.gz"):
        stack = [(json.loads(line)["prompt"], "")]
        while stack:
            message, before = stack.pop()
            if message["role"] == "assistant":
                url = f"https://open-assistant.io/{message['message_id']}"
                yield TextRow(id_of(url.encode()), url, "open-assistant", "", f"{before}\n\n{message['text']}")
            stack.extend((reply, message["text"]) for reply in message["replies"])
