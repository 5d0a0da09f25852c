"""People's names, found by Presidio: optional, because it needs a language model and far more time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from pipeline.errors import UserError
from pipeline.pii.spans import PiiKind, Span

HOW_TO_INSTALL = "`pip install 'gristmill[presidio]'` and a spaCy model, or set scrub_pii.names = false"


@cache
def load_name_finder(model: str, language: str, min_score: float) -> Callable[[str], Iterator[Span]]:
    """A finder that uses the spaCy model `model` (a package or a folder). Raises UserError where that is missing."""
    engine = _engine(model, language)

    def find_names(text: str) -> Iterator[Span]:
        for found in engine.analyze(text, language=language, entities=["PERSON"], score_threshold=min_score):
            yield Span(found.start, found.end, PiiKind.NAME, text[found.start : found.end].casefold())

    return find_names


def _engine(model: str, language: str) -> Any:
    try:
        import spacy
        from presidio_analyzer import AnalyzerEngine
        from presidio_analyzer.nlp_engine import NlpEngineProvider
    except ImportError as error:
        raise UserError(f"scrub_pii.names needs Presidio ({error}): {HOW_TO_INSTALL}") from None
    try:
        spacy.load(model)  # Presidio would try to download a missing model
    except OSError:
        raise UserError(f"scrub_pii.names_model: no spaCy model {model!r} is installed: {HOW_TO_INSTALL}") from None
    configuration = {"nlp_engine_name": "spacy", "models": [{"lang_code": language, "model_name": model}]}
    provider = NlpEngineProvider(nlp_configuration=configuration)
    return AnalyzerEngine(nlp_engine=provider.create_engine(), supported_languages=[language])
