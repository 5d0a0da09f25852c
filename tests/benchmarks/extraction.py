"""Quality of extraction on real pages with gold: the learned engine, trafilatura and resiliparse in the same run.

    python -m tests.benchmarks.extraction [--sets wcxb own articles] [--engines NAME...] [--sample N] [--folds FOLDER]

The learned engine is measured out of fold: a page is extracted by a model that was trained without all pages of its
registered domain (and of a fifth of the domains). The five models are trained into FOLDER first, unless it has them.
`in html` are the pages of WCXB whose gold text is in their HTML: at least 0.8 of its words in the best choice of
blocks. Reads GRISTMILL_DATA (default ../shared/data).
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import trafilatura
from resiliparse.extract.html2text import extract_plain_text

from classifiers.artifacts import MANIFEST
from classifiers.extraction.blocks import read_blocks
from classifiers.extraction.model import ExtractionModel, load_extraction_model
from classifiers.extraction.parse_html import encode_source, parse_html
from classifiers.training.block_labels import label_blocks
from classifiers.training.recipe_extraction import FOLDS, LEAST_GOLD, fold_of, read_training_samples
from classifiers.training.train_extraction import train_extraction
from pipeline.documents import Dropped, Page
from pipeline.extraction.engines import ExtractionOptions, build_engine
from pipeline.extraction.parsed_page import PageRefusedError, parse_page
from pipeline.stages import extract_text
from tests.benchmarks import data_folder, extraction_sets
from tests.benchmarks.extraction_sets import Example

Extract = Callable[[Page], str]
Score = Callable[[str, Example], tuple[float, float, float]]
SETS = {
    "wcxb": (extraction_sets.wcxb, extraction_sets.score_words),
    "own": (extraction_sets.own, extraction_sets.score_own),
    "articles": (extraction_sets.articles, extraction_sets.score_grams),
}
_ENGINES = ("learned", "preparation", "trafilatura", "resiliparse")
_MANY = 10**9


def fold_models(folder: Path, data: Path) -> list[ExtractionModel]:
    """The models of the folds, trained where they are missing."""
    missing = [fold for fold in range(FOLDS) if not (folder / str(fold) / MANIFEST).is_file()]
    samples = read_training_samples(data) if missing else []
    for fold in missing:
        print(f"training without fold {fold} ...", flush=True)
        rest = [sample for sample in samples if sample.fold != fold]
        train_extraction(rest, folder / str(fold), "A model of the benchmark.", "tests.benchmarks.extraction")
    return [load_extraction_model(folder / str(fold)) for fold in range(FOLDS)]


def learned_out_of_fold(models: Sequence[ExtractionModel]) -> Extract:
    engines = [
        build_engine(ExtractionOptions("learned", "text", 1.0, 800, comments=False, tables=True), model)
        for model in models
    ]

    def extract(page: Page) -> str:
        try:
            return engines[fold_of(page.registered_domain)](parse_page(page, _MANY, _MANY)).text
        except PageRefusedError:
            return ""

    return extract


def through_stage(settings: extract_text.ExtractTextSettings) -> Extract:
    stage = extract_text.build(settings)

    def extract(page: Page) -> str:
        answer = stage(page)
        return "" if isinstance(answer, Dropped) else answer.text

    return extract


def plain_trafilatura(page: Page) -> str:
    return trafilatura.extract(page.content.decode()) or ""


def plain_resiliparse(page: Page) -> str:
    return extract_plain_text(page.content.decode(), main_content=True)


def is_in_html(example: Example) -> bool:
    """Whether the gold text of a page of WCXB is in its HTML."""
    tree, _ = parse_html(encode_source(example.page.content.decode()))
    if tree is None or not example.text.strip():
        return False
    texts = read_blocks(tree).texts
    chosen = label_blocks(texts, example.text) >= 0.5
    best = "\n".join(text for text, keep in zip(texts, chosen, strict=True) if keep)
    return extraction_sets.score_words(best, example)[2] >= LEAST_GOLD


def mean_scores(scores: Sequence[tuple[float, float, float]], of_means: bool) -> tuple[float, float, float]:
    """Mean precision, recall and F1; F1 of the means where pages have none."""
    precision, recall, f1 = (float(value) for value in np.mean(scores, axis=0))
    return precision, recall, 2 * precision * recall / max(precision + recall, 1e-9) if of_means else f1


def tables(
    name: str, examples: Sequence[Example], texts: dict[str, list[str]], spent: dict[str, float]
) -> Iterator[str]:
    """A row for each engine and group: the whole set, page types or languages, scripts or sources."""
    score = SETS[name][1]
    groups: dict[str, list[int]] = defaultdict(list)
    for number, example in enumerate(examples):
        groups["all"].append(number)
        groups[example.kind].append(number)
        groups[example.group].append(number)
    if name == "wcxb":
        groups = {key: places for key, places in groups.items() if key != "wcxb"}
        groups["in html"] = [number for number, example in enumerate(examples) if is_in_html(example)]
        for kind in sorted({example.kind for example in examples}):
            groups[f"in html, {kind}"] = [number for number in groups["in html"] if examples[number].kind == kind]
    scored = {engine: [score(text, e) for text, e in zip(own, examples, strict=True)] for engine, own in texts.items()}
    yield f"\n{name}: {len(examples)} pages; F1 (precision / recall)"
    yield f"{'':28}{'pages':>6}" + "".join(f"{engine:>24}" for engine in texts)
    for group, places in groups.items():
        cells = []
        for values in scored.values():
            precision, recall, f1 = mean_scores([values[place] for place in places] or [(0, 0, 0)], name == "articles")
            cells.append(f"{f1:.3f} ({precision:.3f} / {recall:.3f})")
        yield f"{group:28}{len(places):6}" + "".join(f"{cell:>24}" for cell in cells)
    yield f"{'CPU ms a page':34}" + "".join(f"{1000 * spent[engine] / len(examples):24.1f}" for engine in texts)


def build_extract(name: str, folds: Path, data: Path) -> tuple[str, Extract]:
    """One of `_ENGINES`, with its name in the tables."""
    if name == "learned":
        return "learned, out of fold", learned_out_of_fold(fold_models(folds, data))
    if name == "preparation":
        stage = through_stage(extract_text.ExtractTextSettings(engine="trafilatura"))
        return "extract_text, trafilatura", stage
    return name, plain_trafilatura if name == "trafilatura" else plain_resiliparse


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    arguments.add_argument("--engines", nargs="+", choices=_ENGINES, default=_ENGINES)
    arguments.add_argument("--sample", type=int, default=1, help="every Nth page")
    arguments.add_argument("--folds", type=Path, default=Path("build/extraction-folds"), help="models of the folds")
    options = arguments.parse_args()
    data = data_folder()
    engines = dict(build_extract(name, options.folds, data) for name in options.engines)
    for name in options.sets:
        examples = list(SETS[name][0](data))[:: options.sample]
        texts: dict[str, list[str]] = {engine: [] for engine in engines}
        spent = dict.fromkeys(engines, 0.0)
        for example in examples:  # alternating, so that a busy minute falls on all
            for engine, extract in engines.items():
                start = time.process_time()
                texts[engine].append(extract(example.page))
                spent[engine] += time.process_time() - start
        print("\n".join(tables(name, examples, texts, spent)), flush=True)


if __name__ == "__main__":
    main()
