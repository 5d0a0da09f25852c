"""Write superscripts and subscripts so that numbers stay true: 10<sup>25</sup> is not 1025.

One sign is a Unicode character (m², H₂O, x₁), more of them follow `^` or `_` (10^25, 10^-6, x^(n+1), v_max). What is
no exponent stays text: ordinals (19th, 1er, XIXe) and abbreviations (Mme, no). A number raised behind a word or before
the first of a line, and a link, is the mark of a footnote and becomes [2]; so do letters in such places. Raised cents
get their point ($19.99), and an exponent before a letter or a digit its brackets: 2^(10)5 is not 2^105.
"""

from __future__ import annotations

import re

from lxml.etree import _Element

from pipeline.extraction.marks import MARKS

_ABOVE = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
_BELOW = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
_LONGEST = 24  # characters; longer ones are small print
_SIGNED_NUMBER = re.compile(r"[+\-−–±]?\d+(?:[.,/]\d+)?%?")
_CHARGE = re.compile(r"\d{0,2}[+\-−–]{1,2}")
_LAST_WORD = re.compile(r"[^\W\d_]{1,20}$")
_FOOTNOTE = re.compile(r"\d{1,3}(?: ?[,–-] ?\d{1,3}){0,8}")
_MARK = r"(?:\d{1,2}|[a-h*†‡§¶#])"
_MARKS_OF_NOTES = re.compile(rf"{_MARK}(?: ?, ?{_MARK}){{1,8}}")
_LETTER_MARKS, _LETTER_MARKS_OF_NUMBERS = frozenset("abcdefgh"), frozenset("bcfg")  # 1a, 2d, 2e and 10h are numbers
_ABBREVIATED = frozenset({"prof", "sig", "arq", "eng", "enf", "adm", "dra", "sra"})  # Profa, Sra: no notes
_ROMAN = re.compile("[IVXLCDM]+")  # XIXe
_WORD_AHEAD = re.compile(r"\s?[^\W\d_]{3}")
_NAME_AHEAD = re.compile(r"\s?[A-Z][a-z]{2}")
_PRICE = re.compile(r"[$€£¥]\s?\d{1,3}(?:,?\d{3})*$")
_UNITS = frozenset(
    {"mile", "miles", "yard", "yards", "meter", "metre", "meters", "metres", "feet", "foot", "inch", "sec", "мкм"}
)
_FUNCTIONS = frozenset({"sin", "cos", "tan", "sec", "csc", "cot", "sinh", "cosh", "tanh", "log", "exp", "det"})
_EXPONENT_LETTERS = frozenset("nkxyztijpqTNMα*†′")
_BRACKETS = "[(（［"
_SIGNS = "+-−*/^=_⁰¹²³⁴⁵⁶⁷⁸⁹₀₁₂₃₄₅₆₇₈₉"  # of an exponent of several parts
_SCRIPT_STYLE = re.compile(r"vertical-align\s*:\s*(super|sub)\b", re.IGNORECASE)
_SCRIPT_CLASSES = {"sup": "sup", "superscript": "sup", "subscript": "sub"}  # not `sub`: many a subtitle is called so
_INLINE = frozenset({"b", "i", "em", "strong", "span", "font", "a", "small", "big", "var", "nobr"})


def write_superscript(
    before: str, text: str, after: str = "", *, is_link: bool = False, is_nested: bool = False
) -> str:
    """What to write for a superscript between `before` and `after`, inside another one if `is_nested`.

    What is raised above something raised is an exponent, whatever its letters.

    >>> [write_superscript(*each) for each in [("10", "25"), ("12 m", "2"), ("19", "th"), ("guild", "2")]]
    ['^25', '²', 'th', '[2]']
    """
    text = " ".join(text.split())
    if not text or len(text) > _LONGEST or text[0] in _BRACKETS or text[0] in "²³¹⁰⁴⁵⁶⁷⁸⁹^":
        return text
    if is_link:
        return f"[{text}]"
    last = before[-1:]
    if not before.strip():
        return f"[{text}]{' ' * after[:1].isalnum()}" if _begins_note(text, after) else text
    if last.isspace():
        return text
    if len(text) == 2 and text.isdecimal() and _PRICE.search(before):
        return f".{text}"
    if text in "oO0º" and last.isdigit() and after[:1] in ("C", "F") and not after[1:2].isalpha():
        return "°"
    if not is_nested and _is_letter_mark(before, text):
        return f"[{text}]"
    if _SIGNED_NUMBER.fullmatch(text):
        return f"[{text}]" if _FOOTNOTE.fullmatch(text) and not (is_nested or _is_base(before)) else _raise(text)
    if _FOOTNOTE.fullmatch(text) and "," in text:
        return f"[{text}]"
    if _CHARGE.fullmatch(text):
        return "^" + text
    if is_nested:
        return f"^{text}" if len(text) == 1 else f"^({text})"
    if text in _EXPONENT_LETTERS:
        return f"^{text}" if _is_base(before) and not (last.isdigit() and text == "T") else text
    if any(sign in text for sign in _SIGNS) and any(map(str.isalnum, text)) and _is_base(before):
        return f"^({text})"
    return f"^({text})" if text[0].isdigit() and text[-1] in _EXPONENT_LETTERS and text[:-1].isdigit() else text


def _begins_note(text: str, after: str) -> bool:
    """Whether a mark begins a line: a note or an affiliation, and no isotope (235U)."""
    if text.isdecimal():
        return len(text) <= 2 and _WORD_AHEAD.match(after) is not None
    return text in _LETTER_MARKS and _NAME_AHEAD.match(after) is not None


def _is_letter_mark(before: str, text: str) -> bool:
    """Whether letters, or letters and signs with numbers, mark a footnote behind a word or a number."""
    if text in _LETTER_MARKS_OF_NUMBERS and before[-1].isdigit():
        return True
    word = _LAST_WORD.search(before[-20:])
    if word is None or len(word[0]) < 2:
        return False
    if _MARKS_OF_NOTES.fullmatch(text) and not _FOOTNOTE.fullmatch(text):
        return True
    name = word[0].lower()
    is_other = name in _ABBREVIATED or name in _FUNCTIONS or _ROMAN.fullmatch(word[0])
    return text in _LETTER_MARKS and len(name) > 2 and not is_other


def script_kind(element: _Element) -> str:
    """`sup` or `sub`, "" for any other element. Google Docs and other editors raise by style or class of a span."""
    if element.tag in ("sup", "sub"):
        return str(element.tag)
    if element.tag not in ("span", "font"):
        return ""
    if found := _SCRIPT_STYLE.search(element.get("style", "")):
        return "sup" if found[1].lower() == "super" else "sub"
    return next((kind for name in element.get("class", "").split() if (kind := _SCRIPT_CLASSES.get(name))), "")


def replace_scripts(tree: _Element) -> None:
    """Write the superscripts and subscripts of a tree as text, for engines that read the text alone."""
    for element in _find_scripts(tree):
        for inner in reversed(_find_scripts(element)):  # the element itself is the last one
            text = "".join(inner.itertext())
            if text.strip() and not MARKS.search(text):
                inner.text = write_script(inner, _text_before(inner), text)
                for child in list(inner):
                    inner.remove(child)
                inner.tag = "span"


def _find_scripts(element: _Element) -> list[_Element]:
    return [each for each in element.iter("sup", "sub", "span", "font") if script_kind(each)]


def write_script(element: _Element, before: str, text: str) -> str:
    """What to write for a superscript or subscript with this text behind `before`."""
    following = element.getnext()
    if script_kind(element) == "sub":
        written = write_subscript(before, text)
    elif following is not None and script_kind(following) == "sub" and (element.tail or "").strip() in ("/", "⁄", "∕"):
        written = write_fraction(before, text)
    else:
        is_link = next(element.iter("a"), None) is not None
        after = "" if text[-1:].isspace() else element.tail or ""
        written = write_superscript(before, text, after, is_link=is_link, is_nested=_is_nested(element))
    if written[:1] in ("^", "_") and written[1:2] != "(" and (element.tail or "")[:1].isalnum():
        written = f"{written[0]}({written[1:]})"
    return written + " " * text[-1:].isspace()


def _is_nested(element: _Element) -> bool:
    """Whether a superscript stands in another one, with nothing but inline elements between them."""
    parent = element.getparent()
    while parent is not None and not (kind := script_kind(parent)):
        if parent.tag not in _INLINE:
            return False
        parent = parent.getparent()
    return parent is not None and kind == "sup"


def _text_before(element: _Element) -> str:
    """The end of the text in front of an element, in the same line."""
    previous, parent = element.getprevious(), element.getparent()
    if previous is not None:
        return (previous.tail or ("" if previous.tag == "br" else "".join(previous.itertext())))[-40:]
    if parent is None or parent.text:
        return (parent.text or "")[-40:] if parent is not None else ""
    return _text_before(parent) if parent.tag in _INLINE else ""


def write_fraction(before: str, numerator: str) -> str:
    """What to write for the numerator of a fraction, which stands behind `before`: 1 1/2 is not 11/2."""
    return " " * before[-1:].isdigit() + " ".join(numerator.split())


def write_subscript(before: str, text: str) -> str:
    """What to write for a subscript behind `before`.

    >>> [write_subscript(before, text) for before, text in [("H", "2"), ("x", "i"), ("v", "max"), ("a", "n+1")]]
    ['₂', '_i', '_max', '_(n+1)']
    """
    text = " ".join(text.split())
    last = before[-1:]
    if not text or len(text) > _LONGEST or not last or last.isspace() or last in "/⁄∕" or text[0] in "₀₁₂₃₄₅₆₇₈₉_":
        return text
    if text.isascii() and text.isdigit():
        return text.translate(_BELOW)
    if text.isalnum() and not any(sign in text for sign in _SIGNS):
        return f"_{text}"
    return f"_({text})" if not any(map(str.isspace, text)) or len(text) <= 8 else text


def _raise(number: str) -> str:
    return number.translate(_ABOVE) if len(number) == 1 else "^" + number if "/" not in number else f"^({number})"


def _is_base(before: str) -> bool:
    """Whether an exponent can stand behind this text: a number, a variable, a unit, a function or a bracket."""
    last = before[-1]
    if last.isdigit() or last in ")]}|":
        return True
    word = _LAST_WORD.search(before[-20:])
    if word is None:
        return not (last in ".,;:!?\"'”’»…%" or last.isspace())
    name = word[0]
    return len(name) <= 2 or name.lower() in _UNITS or name in _FUNCTIONS
