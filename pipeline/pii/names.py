"""People's names, found by Presidio: optional, because it needs a language model and far more time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pipeline.errors import UserError
from pipeline.pii.spans import PiiKind, Span
from pipeline.storage import exists, list_files

HOW_TO_INSTALL = "`pip install 'gristmill[presidio]'` and a spaCy model, or set scrub_pii.names = false"


@cache
def load_name_finder(model: str, language: str, min_score: float) -> Callable[[str], Iterator[Span]]:
    """A finder that uses the spaCy model `model` (a package or a folder). Raises UserError where that is missing."""
    engine = _engine(model, language)

    def find_names(text: str) -> Iterator[Span]:
        for found in engine.analyze(text, language=language, entities=["PERSON"], score_threshold=min_score):
            yield Span(found.start, found.end, PiiKind.NAME, text[found.start : found.end].casefold())

    return find_names


def model_files(model: str) -> list[Path]:
    """The files of a spaCy model, a package or a folder; none of a missing one, which `load_name_finder` explains."""
    root = model if Path(model).name != model else _package_folder(model)
    return [Path(path) for path in list_files(root) if not path.endswith(".pyc")] if exists(root) else []


def _package_folder(name: str) -> str:
    """The folder of an installed package, which is not imported; otherwise the name, which may be that of a folder."""
    with suppress(ImportError, ValueError):
        found = find_spec(name)
        for folder in (found and found.submodule_search_locations) or ():
            return folder
    return name


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
