"""Writes reference/<language>.txt: the most common words of a language with their share of all its words.

The source is the Python package `wordfreq` 3.1 (Robyn Speer; data CC BY-SA 4.0), which joins Wikipedia, subtitles,
news, books and web text. For languages written without spaces the table is of characters. Run it once, when the tables
are to change:

    pip install wordfreq && python pipeline/lists/words/build_reference.py
"""

from __future__ import annotations

from collections import defaultdict
from importlib import import_module
from pathlib import Path

WORDS = 300
CHARACTERS = 100
BY_CHARACTER = frozenset({"zh", "ja"})
# Codes of lid.176 that are wordfreq's too, and those that are not.
SAME_CODE = "ar bg ca cs da de el en es fa fi fr he hu id is it ja lt lv mk ms nl pl pt ro ru sk sl sv tr uk ur vi zh"
LANGUAGES = {code: code for code in SAME_CODE.split()} | {
    "no": "nb", "hr": "sh", "sr": "sh", "bs": "sh", "sh": "sh", "tl": "fil",
}  # fmt: skip
HEADER = "# Share of all {unit} of the language, from wordfreq 3.1 (Robyn Speer). License: CC BY-SA 4.0.\n"


def table(frequencies: dict[str, float], by_character: bool) -> list[tuple[str, float]]:
    """The commonest units with their shares, in order."""
    shares: defaultdict[str, float] = defaultdict(float)
    for word, share in frequencies.items():
        for unit in word if by_character else [word]:
            if unit.replace("'", "").isalpha():
                shares[unit] += share
    total = sum(shares.values())
    top = sorted(shares.items(), key=lambda item: (-item[1], item[0]))[: CHARACTERS if by_character else WORDS]
    return [(unit, share / total) for unit, share in top]


def main() -> None:
    wordfreq = import_module("wordfreq")
    folder = Path(__file__).parent / "reference"
    folder.mkdir(exist_ok=True)
    for code, source in sorted(LANGUAGES.items()):
        rows = table(wordfreq.get_frequency_dict(source, wordlist="small"), code in BY_CHARACTER)
        lines = [f"{unit}\t{share:.3g}\n" for unit, share in rows]
        unit = "characters" if code in BY_CHARACTER else "words"
        (folder / f"{code}.txt").write_text(HEADER.format(unit=unit) + "".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
