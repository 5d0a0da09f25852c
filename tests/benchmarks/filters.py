"""CPU time of filter_heuristics and scrub_pii compared with a plain loop, and what they drop from real pages.

    python -m tests.benchmarks.filters [--pages 300]

The plain loop computes the measurements of Gopher, C4 and FineWeb in the shortest code: a regular expression for words,
str methods for lines, NumPy for n-grams. It does not correct lines, has no rules per language, no word lists and no
reference distribution. Pages are extracted from GRISTMILL_DATA (default ../shared/data) before the measurement starts.
"""

from __future__ import annotations

import argparse
import re
import time
from collections import Counter
from collections.abc import Callable

import numpy as np
from fastwarc.warc import ArchiveIterator, WarcRecordType

from pipeline.documents import Document, Dropped, Page
from pipeline.stages import extract_text, filter_heuristics, identify_language, scrub_pii
from tests.benchmarks import data_folder

FILES = ("trafilatura-00000", "daniel-waddle-00001", "recipe-scrapers-00001", "webstruct-00000", "webkb-00003")
REPETITIONS = 5
_WORD = re.compile(r"\w+(?:['’.-]\w+)*")
_SENTENCE = re.compile(r"[.!?]+(?=\s|$)")


def documents(count: int) -> list[Document]:
    """Extracted pages whose language was identified, the same number from each file."""
    extract = extract_text.build(extract_text.ExtractTextSettings())
    identify = identify_language.build(identify_language.IdentifyLanguageSettings())
    found: list[Document] = []
    for name in FILES:
        wanted = len(found) + count // len(FILES)
        with (data_folder() / "warc" / f"{name}.warc.gz").open("rb") as stream:
            for record in ArchiveIterator(stream, record_types=WarcRecordType.response):
                url = record.headers.get("WARC-Target-URI") or ""
                page = Page(url, "2026-10-01T12:00:00Z", name, record.stream_pos, record.reader.read())
                document = extract(page)
                if isinstance(document, Document):
                    document = identify(document)
                if isinstance(document, Document):
                    found.append(document)
                if len(found) == wanted:
                    break
    return found


def measure_plainly(text: str) -> dict[str, float]:
    lines = [line for line in text.split("\n") if line.strip()]
    paragraphs = [part for part in re.split(r"\n{2,}", text) if part.strip()]
    words = _WORD.findall(text.lower())
    lengths = np.array([len(word) for word in words])
    signals = {
        "words": len(words),
        "mean": float(lengths.mean()) if words else 0.0,
        "hashes": text.count("#") / max(1, len(words)),
        "ellipses": (text.count("...") + text.count("…")) / max(1, len(words)),
        "bullets": sum(line.startswith(("-", "•")) for line in lines) / max(1, len(lines)),
        "ellipsis_lines": sum(line.endswith(("...", "…")) for line in lines) / max(1, len(lines)),
        "letters": sum(any(c.isalpha() for c in word) for word in words) / max(1, len(words)),
        "stop_words": len({"the", "be", "to", "of", "and", "that", "have", "with"} & set(words)),
        "short": sum(len(line) <= 30 for line in lines) / max(1, len(lines)),
        "punctuated": sum(line.rstrip().endswith((".", "!", "?", '"')) for line in lines) / max(1, len(lines)),
        "sentences": sum(len(_SENTENCE.findall(line)) for line in lines),
        "short_words": sum(len(line.split()) < 5 for line in lines),
        "curly": text.count("{"),
        "lorem": text.lower().count("lorem ipsum"),
        "policy": sum("cookie" in line.lower() or "javascript" in line.lower() for line in lines),
        "upper": sum(sum(c.isupper() for c in line) > len(line) / 2 for line in lines),
    }
    for name, pieces in (("lines", lines), ("paragraphs", paragraphs)):
        repeated = [piece for piece, n in Counter(pieces).items() for _ in range(n - 1)]
        signals[f"repeated_{name}"] = len(repeated) / max(1, len(pieces))
        signals[f"repeated_{name}_characters"] = sum(map(len, repeated)) / max(1, len(text))
    return signals | measure_ngrams(words, lengths)


def measure_ngrams(words: list[str], lengths: np.ndarray) -> dict[str, float]:
    signals = {}
    numbers: dict[str, int] = {}
    ids = np.array([numbers.setdefault(word, len(numbers)) for word in words], dtype=np.uint64)
    for n in range(2, 11):
        if len(ids) < n:
            break
        codes = np.zeros(len(ids) - n + 1, dtype=np.uint64)
        for k in range(n):
            codes = codes * np.uint64(6364136223846793005) + ids[k : len(ids) - n + 1 + k] + np.uint64(1)
        _, first, inverse, counts = np.unique(codes, return_index=True, return_inverse=True, return_counts=True)
        if n < 5:
            chosen = np.flatnonzero(inverse == counts.argmax())
        else:
            repeated = np.ones(len(codes), dtype=bool)
            repeated[first] = False
            chosen = np.flatnonzero(repeated)
        covered = np.zeros(len(ids), dtype=bool)
        for k in range(n):
            covered[chosen + k] = True
        signals[f"{n}_grams"] = float(lengths[covered].sum() / max(1, lengths.sum()))
    return signals


def cpu_seconds(work: Callable[[Document], object], pages: list[Document]) -> float:
    """The shortest CPU time of several repetitions."""
    times = []
    for _ in range(REPETITIONS):
        start = time.process_time()
        for page in pages:
            work(page)
        times.append(time.process_time() - start)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=300)
    found = documents(parser.parse_args().pages)
    scrub = scrub_pii.build(scrub_pii.ScrubPiiSettings())
    pages = [page for page in map(scrub, found) if isinstance(page, Document)]
    keep = filter_heuristics.build(filter_heuristics.FilterHeuristicsSettings())
    outcomes = Counter(str(result.reason) if isinstance(result, Dropped) else "kept" for result in map(keep, pages))
    base = cpu_seconds(lambda page: measure_plainly(page.text), pages)
    print(f"{len(pages)} pages, {sum(len(page.text) for page in pages):,} characters; best of {REPETITIONS}, one core")
    print(f"{'':20}{'ms a page':>12}{'of plain':>10}")
    for name, seconds in (
        ("plain loop", base),
        ("filter_heuristics", cpu_seconds(keep, pages)),
        ("scrub_pii", cpu_seconds(scrub, found)),
    ):
        print(f"{name:20}{1000 * seconds / len(pages):12.2f}{seconds / base:10.2f}")
    print("outcomes:", ", ".join(f"{reason} {count}" for reason, count in outcomes.most_common()))


if __name__ == "__main__":
    main()
