"""identify_language: the language of a document's prose with its probability; drop languages that are not wanted.

The model is fastText's lid.176 (176 languages, ISO 639 codes); `model` names another fastText model, a file or a folder
of `gristmill classify pack`. A score below 0.65 means a mixture of languages, a list of names or no language at all:
RefinedWeb, FineWeb and DCLM drop there (CCNet at 0.5). The score is the sum over the best label and languages close to
it (`classifiers/close_languages.py`): Croatian and Serbian share the probability of most pages in either.

Every language is kept unless `languages` names some. A page that may as well be in a wanted language as in one close to
it is kept, and gets the label of the wanted one. Code and formulas are removed first: they look like English.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from difflib import get_close_matches
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from classifiers.artifacts import default_folder, model_files
from classifiers.close_languages import choose_language
from classifiers.language import is_fasttext_file, load_language_model
from pipeline.documents import Document, Dropped
from pipeline.errors import UserError
from pipeline.markdown_signs import without_signs
from pipeline.settings import Settings

NAME = "identify_language"
SIGNALS: tuple[str, ...] = ()  # language and score have columns of their own
_NOT_PROSE = re.compile(
    r"^(```+)\n.*?^\1$|\$\$.+?\$\$|\$[^$\n]{1,300}\$|`[^`\n]+`|https?://\S+", re.DOTALL | re.MULTILINE
)
_MARKS_OF_OTHERS = ("`", "$", "://")  # one of which is in all that is no prose
# Long texts are identified by three pieces of this length if the score is certain. On 496 real pages that gives equal
# languages and the same pages below 0.65, with scores that differ by 0.002 on average, for 0.7 of the CPU.
_SAMPLE_CHARACTERS = 1_000
_CERTAIN = 0.9
_FEW_CHARACTERS = 80  # with less prose than this, the whole text is identified

Identifier = Callable[[str], Mapping[str, float]]  # text -> ISO 639 code -> probability

# Codes for a language that the models know by another one: lid.176 calls Bokmål Norwegian.
_OTHER_CODES = {"nb": "no", "cmn": "zh", "iw": "he", "in": "id", "fil": "tl", "ji": "yi", "gsw": "als"}


def _check_codes(languages: tuple[str, ...]) -> tuple[str, ...]:
    for code in languages:
        if not re.fullmatch(r"[a-z]{2,3}", code):
            raise ValueError(f"{code!r} is no language code; write ISO 639 codes in lower case, such as 'en' or 'de'")
    return tuple(dict.fromkeys(_OTHER_CODES.get(code, code) for code in languages))


Languages = Annotated[tuple[str, ...], AfterValidator(_check_codes)]


class IdentifyLanguageSettings(Settings):
    """Which identifier, which languages, and how certain it must be."""

    engine: Literal["fasttext", "py3langid"] = Field("fasttext", description="library that identifies the language")
    model: Path = Field(
        default_folder("language"),
        description="folder of the fastText model: lid.176, or one written by `gristmill classify pack`; or a fastText"
        " file (.bin, .ftz), such as GlotLID or OpenLID, whose labels are mapped to the codes of lid.176",
    )
    languages: Languages = Field((), description='ISO 639 codes to keep, such as ["en", "de"]; empty keeps all')
    min_score: float = Field(
        0.65,
        ge=0,
        le=1,
        description="lowest probability that is kept, summed over close languages; RefinedWeb, FineWeb and DCLM have "
        "0.65, CCNet 0.5",
    )


class IdentifyLanguageReason(StrEnum):
    """Why a document is dropped."""

    LANGUAGE_NOT_WANTED = "language_not_wanted"
    LANGUAGE_UNCERTAIN = "language_uncertain"


REASONS = IdentifyLanguageReason


def uses_shipped_model(settings: IdentifyLanguageSettings) -> bool:
    """Whether lid.176 decides, which quick_look uses, too: another model may know languages that it does not."""
    return settings.engine == "fasttext" and settings.model == default_folder("language")


def files(settings: IdentifyLanguageSettings) -> list[Path]:
    """The model's files."""
    if settings.engine != "fasttext":
        return []
    return [settings.model] if is_fasttext_file(settings.model) else model_files(settings.model)


def build(settings: IdentifyLanguageSettings) -> Callable[[Document], Document | Dropped]:
    """Load the identifier. Raises UserError if its package is not installed."""
    identify = load_identifier(settings)

    def identify_language(document: Document) -> Document | Dropped:
        text = prose(without_signs(document.text))
        language, score = choose_language(identify(sample := cut_sample(text)), settings.languages)
        if score < _CERTAIN and sample != text:
            language, score = choose_language(identify(text), settings.languages)
        document = replace(document, language=language, language_score=score)
        if score < settings.min_score:
            return Dropped(
                document, NAME, IdentifyLanguageReason.LANGUAGE_UNCERTAIN, score, settings.min_score, detail=language
            )
        if settings.languages and language not in settings.languages:
            return Dropped(document, NAME, IdentifyLanguageReason.LANGUAGE_NOT_WANTED, score, detail=language)
        return document

    return identify_language


def load_identifier(settings: IdentifyLanguageSettings) -> Identifier:
    """The configured engine. Raises UserError for wanted languages that the fastText model has no label for."""
    if settings.engine == "py3langid":
        return _load_py3langid()
    model = load_language_model(settings.model)
    if unknown := [code for code in settings.languages if code not in model.labels]:
        near = get_close_matches(unknown[0], model.labels, n=3, cutoff=0.5)
        raise UserError(
            f"identify_language.languages: the model {settings.model.name} has no language {unknown[0]!r}"
            + (f" (it has {', '.join(near)})" if near else f"; its codes are {', '.join(model.labels)}")
        )
    return model.probabilities


def prose(text: str) -> str:
    """The text without code, formulas and URLs; all of it if little prose is left."""
    if not any(mark in text for mark in _MARKS_OF_OTHERS):
        return text
    rest = _NOT_PROSE.sub(" ", text)
    return rest if len(rest.strip()) >= _FEW_CHARACTERS else text


def cut_sample(text: str) -> str:
    """The beginning, the middle and the end of a long text."""
    if len(text) <= 3 * _SAMPLE_CHARACTERS:
        return text
    middle = (len(text) - _SAMPLE_CHARACTERS) // 2
    pieces = (text[:_SAMPLE_CHARACTERS], text[middle : middle + _SAMPLE_CHARACTERS], text[-_SAMPLE_CHARACTERS:])
    return " ".join(pieces)


def _load_py3langid() -> Identifier:
    try:
        langid = import_module("py3langid.langid")
    except ImportError:
        raise UserError(
            "identify_language.engine = 'py3langid' needs the package py3langid: `pip install py3langid`, "
            "or leave the engine at 'fasttext'"
        ) from None
    model = langid.LanguageIdentifier.from_pickled_model(langid.MODEL_FILE, norm_probs=True)

    def identify(text: str) -> Mapping[str, float]:
        return {str(label): float(probability) for label, probability in model.rank(text[:4_000])}

    return identify
