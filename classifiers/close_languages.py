"""Languages that an identifier cannot tell apart, and the language of a text by the sum of their probabilities.

A page in Croatian gets hr 0.49, sr 0.21, sh 0.17 and bs 0.11 from lid.176: no label is certain, but it is certain that
the page is in one of the four. The probability of the text's language is therefore the sum over the best label and the
labels close to it; a mixture of unrelated languages gains nothing from that.

Close are relatives whose texts lid.176 mistakes for one another. Measured on translations of one program's messages,
60 words at a time: mean probability .15 of sr and .15 of sh for Croatian, .42 of id for Malay, .25 of da for Norwegian,
.12 of cs for Slovak, .16 of es and .11 of pt for Galician, .09 of uk for Belarusian, .13 of nl for Afrikaans.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cache

# ISO 639 codes as lid.176 has them. A language may be in several groups: Macedonian is close to Serbian and to
# Bulgarian, which are not close to each other.
GROUPS = (
    "bs hr sh sr", "mk sr", "bg mk", "cs sk", "be ru rue uk",
    "da nn no sv", "de als bar nds pfl", "de lb", "af nl", "li nl vls", "en sco", "ga gd gv",
    "es gl pt mwl", "an ast es", "ca oc", "fr wa", "co eml it lmo nap pms sc scn vec",
    "id min ms", "jv su", "bcl ceb tl war", "ba kk ky tt", "av lez", "mhr mrj", "bxr mn xal", "fi vep",
    "ar arz", "fa lrc mzn", "diq ku", "pnb ur", "bh hi mai", "hi ne", "gom mr", "as bn bpy", "wuu yue zh",
)  # fmt: skip
# A wanted language this much less probable than the best label is not what the page is written in.
_MIN_RATIO = 0.5


@cache
def close_to(language: str) -> frozenset[str]:
    """The language and those close to it."""
    groups = (group.split() for group in GROUPS)
    return frozenset({language}.union(*(group for group in groups if language in group)))


def choose_language(probabilities: Mapping[str, float], wanted: Collection[str] = ()) -> tuple[str, float]:
    """The best label, and the probability that the text is in it or a language close to it; ("", 0.0) without labels.

    Where the best label is not `wanted` but a language close to it is, and that is at least half as probable, the label
    is the wanted one: a page that may as well be Bosnian is Croatian for those who look for Croatian.

    >>> choose_language({"sr": 0.4, "hr": 0.3, "bs": 0.2})
    ('sr', 0.9)
    >>> choose_language({"sr": 0.4, "hr": 0.3, "bs": 0.2}, wanted=["hr"])
    ('hr', 0.9)
    """
    if not probabilities:
        return "", 0.0
    best = max(probabilities, key=lambda label: probabilities[label])
    close = {label: share for label, share in probabilities.items() if label in close_to(best)}
    similar = [label for label in close if label in wanted and close[label] >= _MIN_RATIO * close[best]]
    label = best if best in wanted or not similar else max(similar, key=lambda label: close[label])
    return label, min(1.0, round(sum(close.values()), 6))
