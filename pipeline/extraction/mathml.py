"""Write MathML as LaTeX, for formulas whose page has no LaTeX of its own.

Presentation MathML only: browsers draw nothing else. What has no LaTeX here is written as its characters, so that no
sign of a formula is lost. An operator or an arrow that LaTeX has a name for gets that name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from lxml.etree import _Element

from pipeline.extraction.latex_symbols import ACCENTS_ABOVE, ACCENTS_BELOW, FUNCTIONS, SYMBOLS

_UNREAD = frozenset({"annotation", "annotation-xml", "mphantom", "maligngroup", "malignmark", "none", "mprescripts"})
_BEFORE_SCRIPTS = re.compile(r"[A-Za-z0-9]|\\[A-Za-z]+|[\u0370-\u1fff\u3040-\u9fff]|.", re.DOTALL)
_COMMAND_END = re.compile(r"\\[A-Za-z]+$")
_SPECIAL = re.compile(r"[#%&_$]")
_INVISIBLE = dict.fromkeys(map(ord, "\u2061\u2062\u2063\u2064\u200b\ufeff\u00ad"))
_FONTS = {
    "bold": "mathbf", "bold-italic": "boldsymbol", "double-struck": "mathbb", "script": "mathcal",
    "fraktur": "mathfrak", "sans-serif": "mathsf", "monospace": "mathtt", "normal": "mathrm",
}  # fmt: skip
_OPEN_FENCES = {"": ".", "{": r"\{", "}": r"\}", "⟨": r"\langle ", "⟩": r"\rangle ", "‖": r"\|", "⌊": r"\lfloor ",
                "⌋": r"\rfloor ", "⌈": r"\lceil ", "⌉": r"\rceil "}  # fmt: skip


def write_latex(element: _Element) -> str:
    """LaTeX of a `math` element or of a part of one. Recursion ends at the parser's limit on depth."""
    name = local_name(element)
    if name in _UNREAD:
        return ""
    if name in _LEAVES:
        return _LEAVES[name](element, " ".join("".join(element.itertext()).translate(_INVISIBLE).split()))
    children = [child for child in element if local_name(child) not in _UNREAD or name == "mmultiscripts"]
    if name == "semantics":
        return write_latex(children[0]) if children else ""
    writer = _WRITERS.get(name)
    if writer is not None:
        size, write = writer
        if len(children) >= size:
            return write(element, children)
    return _write_row(element, children)


def local_name(element: _Element) -> str:
    """The element's name without a namespace or prefix: pages write `math`, `m:math` and `mml:math`."""
    tag = element.tag
    return tag.rpartition("}")[2].rpartition(":")[2].lower() if isinstance(tag, str) else ""


def _join(pieces: Sequence[str]) -> str:
    """Pieces one after the other, with a space where a command would run into the next letter."""
    joined: list[str] = []
    for piece in pieces:
        if piece and joined and piece[0].isalpha() and _COMMAND_END.search(joined[-1][-30:]):
            joined.append(" ")
        if piece:
            joined.append(piece)
    return "".join(joined)


def _write_row(element: _Element, children: Sequence[_Element]) -> str:
    """The children in order, with the text that malformed pages have between them."""
    pieces = [_write_characters((element.text or "").strip())]
    for child in children:
        pieces += (write_latex(child), _write_characters((child.tail or "").strip()))
    return _join(pieces)


def _brace(latex: str) -> str:
    """As an argument: in braces unless it is one sign."""
    return latex if len(latex) == 1 and latex not in "^_ " else "{" + latex + "}"


def _base(latex: str) -> str:
    """What scripts stand on: in braces unless it is one sign, one command or a name."""
    whole = _BEFORE_SCRIPTS.fullmatch(latex) or latex.isalnum() or re.fullmatch(r"\\[a-z]+\{[^{}\\]*\}", latex)
    return latex if whole or (latex[:1] == "(" and latex[-1:] == ")") else "{" + latex + "}"


# --- leaves ---


def _write_characters(text: str) -> str:
    pieces = []
    for character in text.translate(_INVISIBLE):
        name = SYMBOLS.get(character)
        pieces.append(name if name is not None else _escape(character))
    return _join(pieces)


def _escape(text: str) -> str:
    return _SPECIAL.sub(r"\\\g<0>", text)


def _write_identifier(element: _Element, text: str) -> str:
    if text in FUNCTIONS:
        return "\\" + text
    written = _write_characters(text)
    font = _FONTS.get(element.get("mathvariant", ""))
    if font and text and not (font == "mathrm" and len(text) > 1):
        return f"\\{font}{{{written}}}"
    return f"\\mathrm{{{written}}}" if len(text) > 1 and text.isalpha() else written


def _write_operator(element: _Element, text: str) -> str:
    if text in FUNCTIONS:
        return "\\" + text
    if len(text) > 1 and text.isalpha():
        return f"\\operatorname{{{_write_characters(text)}}}"
    return r"\{" if text == "{" else r"\}" if text == "}" else _write_characters(text)


def _write_number(element: _Element, text: str) -> str:
    return _write_characters(text.replace("\u2009", "").replace(" ", ""))


def _write_text(element: _Element, text: str) -> str:
    whole = "".join(element.itertext()).replace("\u00a0", " ")
    text = (" " * whole[:1].isspace() + text + " " * whole[-1:].isspace()) if text else ""
    return "\\text{" + _escape(text) + "}" if text.strip() else " " * bool(whole)


def _write_space(element: _Element, text: str) -> str:
    return r"\\" if element.get("linebreak") == "newline" else r"\ "


_LEAVES: dict[str, Callable[[_Element, str], str]] = {
    "mi": _write_identifier,
    "mo": _write_operator,
    "mn": _write_number,
    "mtext": _write_text,
    "ms": _write_text,
    "mspace": _write_space,
    "mglyph": lambda element, _: element.get("alt", ""),
}


# --- what has arguments ---


def _write_fraction(element: _Element, children: Sequence[_Element]) -> str:
    above, below = (write_latex(child) for child in children[:2])
    if element.get("linethickness") in ("0", "0px", "0pt"):
        return f"{{{above} \\atop {below}}}"
    return f"\\frac{{{above}}}{{{below}}}"


def _write_root(element: _Element, children: Sequence[_Element]) -> str:
    return f"\\sqrt[{write_latex(children[1])}]{{{write_latex(children[0])}}}"


def _write_square_root(element: _Element, children: Sequence[_Element]) -> str:
    return f"\\sqrt{{{_write_row(element, children)}}}"


def _write_above(element: _Element, children: Sequence[_Element]) -> str:
    sign = "".join(children[1].itertext()).strip()
    base, above = write_latex(children[0]), write_latex(children[1])
    if sign in ACCENTS_ABOVE:
        return f"\\{ACCENTS_ABOVE[sign]}{{{base}}}"
    return f"{_base(base)}^{_brace(above)}" if _takes_limits(base) else f"\\overset{{{above}}}{{{base}}}"


def _write_below(element: _Element, children: Sequence[_Element]) -> str:
    sign = "".join(children[1].itertext()).strip()
    base, below = write_latex(children[0]), write_latex(children[1])
    if sign in ACCENTS_BELOW:
        return f"\\{ACCENTS_BELOW[sign]}{{{base}}}"
    return f"{_base(base)}_{_brace(below)}" if _takes_limits(base) else f"\\underset{{{below}}}{{{base}}}"


def _takes_limits(base: str) -> bool:
    """Whether what stands above and below are limits: of a sum, a limit, a brace."""
    return base.startswith(("\\", "{\\")) and not base.startswith(("\\math", "\\frac", "\\text"))


def _write_below_and_above(element: _Element, children: Sequence[_Element]) -> str:
    base, below, above = (write_latex(child) for child in children[:3])
    if _takes_limits(base):
        return f"{_base(base)}_{_brace(below)}^{_brace(above)}"
    return f"\\overset{{{above}}}{{\\underset{{{below}}}{{{base}}}}}"


def _write_superscript(element: _Element, children: Sequence[_Element]) -> str:
    above = write_latex(children[1])
    base = _base(write_latex(children[0]))
    return base + above if above and not above.strip("'") else f"{base}^{_brace(above)}"


def _write_subscript(element: _Element, children: Sequence[_Element]) -> str:
    return f"{_base(write_latex(children[0]))}_{_brace(write_latex(children[1]))}"


def _write_both_scripts(element: _Element, children: Sequence[_Element]) -> str:
    base, below, above = (write_latex(child) for child in children[:3])
    return f"{_base(base)}_{_brace(below)}^{_brace(above)}"


def _write_multiscripts(element: _Element, children: Sequence[_Element]) -> str:
    """Scripts in pairs (below, above); those after `mprescripts` stand before the base."""
    names = [local_name(child) for child in children]
    middle = names.index("mprescripts") if "mprescripts" in names else len(names)
    after, before = children[1:middle], children[middle + 1 :]
    left = "".join(_write_pair(before[at : at + 2]) for at in range(0, len(before), 2))
    right = "".join(_write_pair(after[at : at + 2]) for at in range(0, len(after), 2))
    return ("{}" + left if left else "") + _base(write_latex(children[0])) + right


def _write_pair(pair: Sequence[_Element]) -> str:
    signs = ((sign, write_latex(script)) for sign, script in zip("_^", pair, strict=False))
    return "".join(sign + _brace(script) for sign, script in signs if script)


def _write_fenced(element: _Element, children: Sequence[_Element]) -> str:
    opening, closing = element.get("open", "("), element.get("close", ")")
    separators = "".join(element.get("separators", ",").split())
    pieces = []
    for number, child in enumerate(children):
        if number and separators:
            pieces.append(separators[min(number, len(separators)) - 1])
        pieces.append(write_latex(child))
    left, right = (_OPEN_FENCES.get(sign, sign) for sign in (opening, closing))
    return f"\\left{left}{_join(pieces)}\\right{right}"


def _write_table(element: _Element, children: Sequence[_Element]) -> str:
    rows = []
    for row in children:
        is_row = local_name(row) in ("mtr", "mlabeledtr")
        cells = [cell for cell in row if local_name(cell) not in _UNREAD] if is_row else [row]
        rows.append(" & ".join(write_latex(cell) for cell in cells))
    return "\\begin{matrix}" + r" \\ ".join(rows) + "\\end{matrix}"


def _write_enclosed(element: _Element, children: Sequence[_Element]) -> str:
    inside = _write_row(element, children)
    notation = element.get("notation", "")
    command = "cancel" if "strike" in notation else "boxed" if "box" in notation else ""
    return f"\\{command}{{{inside}}}" if command else inside


def _write_action(element: _Element, children: Sequence[_Element]) -> str:
    return write_latex(children[0])


# name -> fewest children, writer
_WRITERS: dict[str, tuple[int, Callable[[_Element, Sequence[_Element]], str]]] = {
    "mfrac": (2, _write_fraction),
    "mroot": (2, _write_root),
    "msqrt": (1, _write_square_root),
    "msup": (2, _write_superscript),
    "msub": (2, _write_subscript),
    "msubsup": (3, _write_both_scripts),
    "mover": (2, _write_above),
    "munder": (2, _write_below),
    "munderover": (3, _write_below_and_above),
    "mmultiscripts": (1, _write_multiscripts),
    "mfenced": (0, _write_fenced),
    "mtable": (1, _write_table),
    "menclose": (1, _write_enclosed),
    "maction": (1, _write_action),
}
