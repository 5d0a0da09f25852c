"""The language model: identifies the language of a text, with fastText's lid.176 or another fastText model.

Any fastText model whose labels are language codes (OpenLID, GlotLID, your own) can be used: the setting
identify_language.model names its file, or the folder that `gristmill classify pack` makes of it. Its labels are mapped
to lid.176's codes (`language_codes.py`), so that the languages of a dataset are called the same.
"""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from shutil import copyfile

from classifiers.artifacts import (
    Artifact,
    Manifest,
    TrainingData,
    default_folder,
    digest_of,
    load_artifact,
    save_manifest,
)
from classifiers.close_languages import choose_language
from classifiers.estimators.fasttext_model import FASTTEXT_ENDINGS, FastTextModel, labels_of
from classifiers.estimators.features import one_line
from classifiers.language_codes import code_of, have_scripts

NAME = "language"
FEATURE_VERSION = 1  # of `one_line`; the language model reads raw text, not the features of the others
FILE = "model.ftz"
_LABELS = 12  # labels that are asked for: more than any group of close languages has
# Share of capitals among the letters from which a text is identified in lower case. lid.176 has hardly seen capitals:
# Swedish in capitals is called Swedish 2 times of 25, its lower-cased form 25 times. Title Case has 0.17, German 0.06.
_CAPITALS = 0.15
_COUNTED_CHARACTERS = 2_000
_UPPER, _UPPER_LOWER = string.ascii_uppercase.encode(), string.ascii_letters.encode()
_ASCII = re.compile("[\x00-\x7f]+")


class LanguageModel:
    """Predicts the fastText model's label (an ISO 639 code for lid.176) and its probability (`identify`)."""

    def __init__(self, file: Path, labels: Sequence[str], artifact: Artifact | None = None) -> None:
        self.artifact = artifact  # None for a file of the user's
        self._model = FastTextModel(file, labels)
        scripts = have_scripts(list(labels))
        self._code = {label: code_of(label, scripts) for label in labels}
        self.labels = tuple(sorted(set(self._code.values())))

    def probabilities(self, text: str) -> dict[str, float]:
        """The most probable labels, best first; none for a text without letters. Reads the whole text, on one line."""
        line = one_line(text)
        if not any(map(str.isalpha, line)):
            return {}
        found: dict[str, float] = {}
        for label, probability in self._model.most_probable(lower_capitals(line), _LABELS).items():
            code = self._code[label]
            found[code] = found.get(code, 0.0) + probability  # one language in two scripts
        return dict(sorted(found.items(), key=lambda item: -item[1]))

    def identify(self, text: str) -> tuple[str, float]:
        """("en", 0.98); ("", 0.0) for a text without letters. Close languages share the probability."""
        return choose_language(self.probabilities(text))

    def score(self, texts: Sequence[str]) -> list[tuple[str, float]]:
        return [self.identify(text) for text in texts]


def lower_capitals(text: str) -> str:
    """The text in lower case if many of the letters at its beginning are capitals.

    >>> lower_capitals("THE MILL IS OLD"), lower_capitals("Die Mühle am Fluss ist alt")
    ('the mill is old', 'Die Mühle am Fluss ist alt')
    """
    capitals, letters = count_capitals_and_letters(text[:_COUNTED_CHARACTERS])
    return text.lower() if capitals > _CAPITALS * letters else text


def count_capitals_and_letters(text: str) -> tuple[int, int]:
    """ASCII is counted by what is left without it: a third of the time of asking every character."""
    ascii_part = text.encode("ascii", "ignore")
    capitals, letters = (len(ascii_part) - len(ascii_part.translate(None, asked)) for asked in (_UPPER, _UPPER_LOWER))
    others = _ASCII.sub("", text) if len(ascii_part) < len(text) else ""
    return capitals + sum(map(str.isupper, others)), letters + sum(map(str.isalpha, others))


@cache
def _load(path: Path) -> LanguageModel:
    if is_fasttext_file(path):
        return LanguageModel(path, labels_of(path))
    artifact = load_artifact(path, NAME, FEATURE_VERSION)
    return LanguageModel(artifact.path(FILE), artifact.manifest.labels[NAME], artifact)


def is_fasttext_file(path: Path) -> bool:
    """Whether the path names a fastText file and no model folder."""
    return path.suffix in FASTTEXT_ENDINGS and path.is_file()


def load_language_model(path: Path | None = None) -> LanguageModel:
    """The shipped lid.176, a fastText file, or the model packed in a folder; loaded once per process."""
    return _load(path or default_folder(NAME))


def pack_language_model(
    file: Path, folder: Path, license: str, source: str, threshold: float = 0.65, card: str = ""
) -> Manifest:
    """Write a model folder for a fastText language model, so that it can be used instead of lid.176."""
    folder.mkdir(parents=True, exist_ok=True)
    if file.resolve() != (folder / FILE).resolve():
        copyfile(file, folder / FILE)
    digest = digest_of(folder / FILE)
    manifest = Manifest(
        name=NAME,
        version=digest[:12],
        feature_version=FEATURE_VERSION,
        files={FILE: digest},
        labels={NAME: tuple(sorted(labels_of(folder / FILE)))},
        threshold={NAME: threshold},
        calibration={"method": "none: the engine's own probability"},
        training_data=(TrainingData(name=source, role="not trained here", rows=0, sha256=digest, license=license),),
        metrics={},
        license=license,
        command="gristmill classify pack",
    )
    save_manifest(folder, manifest, card or f"# Language: {file.name}\n\n{source}\n")
    return manifest
