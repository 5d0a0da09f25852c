"""CPU of every model on real pages, and of all models together as a run applies them: milliseconds a page.

    python -m tests.benchmarks.classifiers [--pages 300]

Pages from the folder that GRISTMILL_DATA names (default ../shared/data), extracted by the learned engine. Alone: each
model reads every page, and computes its features itself. Together: the stages identify_language, score_quality and
tag_domain, one page after the other; the models of a page share most of their features.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from itertools import islice

from classifiers.data.page_text import TextRow, read_warc
from classifiers.domain import Item, load_domain_model
from classifiers.education import load_education_model
from classifiers.estimators.features import read_text
from classifiers.harm import load_harm_model
from classifiers.language import load_language_model
from classifiers.quality import load_quality_model
from pipeline.documents import Document
from pipeline.extraction.training_pages import TrainingPageExtractor
from pipeline.stages import identify_language, score_quality, tag_domain
from tests.benchmarks import data_folder


def milliseconds(work: Callable[[TextRow], object], rows: Sequence[TextRow]) -> float:
    """CPU a page; the features of the last text are forgotten before each."""
    started = time.process_time()
    for row in rows:
        read_text.cache_clear()
        work(row)
    return 1000 * (time.process_time() - started) / len(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=300)
    options = parser.parse_args()
    file = data_folder() / "warc" / "trafilatura-00000.warc.gz"
    extract = TrainingPageExtractor()
    started = time.process_time()
    rows = list(islice(read_warc(file, extract), options.pages))
    extraction = 1000 * (time.process_time() - started) / len(rows)
    quality, education, domain = load_quality_model(), load_education_model(), load_domain_model()
    harm, language = load_harm_model(), load_language_model()
    alone: dict[str, Callable[[TextRow], object]] = {
        "quality": lambda row: quality.score([row.text], [row.signals]),
        "education": lambda row: education.score([row.text], [row.signals]),
        "domain: topic": lambda row: domain.tag([Item(row.url, row.title, row.text, row.signals)]),
        "domain: kind": lambda row: domain.kind([Item(row.url, row.title, row.text, row.signals)]),
        "harm": lambda row: harm.score([row.text]),
        "language, whole text": lambda row: language.identify(row.text),
    }
    stages = [
        identify_language.build(identify_language.IdentifyLanguageSettings(min_score=0)),
        score_quality.build(score_quality.ScoreQualitySettings()),
        tag_domain.build(tag_domain.TagDomainSettings()),
    ]

    def together(row: TextRow) -> None:
        record = Document(row.id, row.url, "", "", 0, "", "", row.title, row.text, signals=row.signals)
        for stage in stages:
            record = stage(record)  # type: ignore[assignment]  # no limit is set, so nothing is dropped

    for work in (*alone.values(), together):  # first calls load tables
        work(rows[0])
    print(f"{len(rows)} pages, {sum(len(row.text) for row in rows) / len(rows):,.0f} characters a page")
    print(f"{'read, decode and extract':<28}{extraction:8.2f} ms")
    for name, work in alone.items():
        print(f"{name:<28}{milliseconds(work, rows):8.2f} ms")
    print(f"{'all models, as in a run':<28}{milliseconds(together, rows):8.2f} ms")


if __name__ == "__main__":
    main()
