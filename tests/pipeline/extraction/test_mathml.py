"""MathML as LaTeX: forms worked out by hand, and no sign of a formula is lost."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml.html import fragment_fromstring

from pipeline.extraction.mathml import write_latex

X, Y, N = "<mi>x</mi>", "<mi>y</mi>", "<mn>2</mn>"


@pytest.mark.parametrize(
    ("mathml", "latex"),
    [
        (f"<mfrac>{X}<mrow>{Y}<mo>+</mo>{N}</mrow></mfrac>", r"\frac{x}{y+2}"),
        (f"<mfrac linethickness=0>{X}{Y}</mfrac>", r"{x \atop y}"),
        (f"<msup>{X}{N}</msup><mo>≤</mo><mi>α</mi>{Y}", r"x^2\leq\alpha y"),
        (f"<msub>{X}<mn>10</mn></msub>", "x_{10}"),
        (f"<msubsup>{X}<mi>i</mi>{N}</msubsup>", "x_i^2"),
        (f"<msup><mrow><mo>(</mo>{X}<mo>−</mo>{Y}<mo>)</mo></mrow>{N}</msup>", "(x-y)^2"),
        (f"<msup><msup>{X}{N}</msup>{N}</msup>", "{x^2}^2"),
        ("<msup><mi>f</mi><mo>′</mo></msup>", "f'"),
        (f"<msqrt>{X}<mo>+</mo>{Y}</msqrt><mroot>{X}<mn>3</mn></mroot>", r"\sqrt{x+y}\sqrt[3]{x}"),
        (
            f"<munderover><mo>∑</mo><mrow><mi>i</mi><mo>=</mo><mn>0</mn></mrow><mi>n</mi></munderover>{X}",
            r"\sum_{i=0}^nx",
        ),
        (f"<munder><mi>lim</mi><mrow>{X}<mo>→</mo><mi>∞</mi></mrow></munder>", r"\lim_{x\to\infty}"),
        (f"<mover accent=true>{X}<mo>^</mo></mover><mover>{Y}<mo>→</mo></mover>", r"\hat{x}\vec{y}"),
        (f"<munder>{X}<mo>_</mo></munder>", r"\underline{x}"),
        (f"<mover><mo>=</mo>{X}</mover>", r"\overset{x}{=}"),
        (f"<mfenced open='[' close=')' separators=';'>{X}{Y}</mfenced>", r"\left[x;y\right)"),
        (f"<mfenced open='{{' close=''>{X}</mfenced>", r"\left\{x\right."),
        (
            f"<mtable><mtr><mtd>{X}</mtd><mtd>{Y}</mtd></mtr><mtr><mtd>1</mtd><mtd>{N}</mtd></mtr></mtable>",
            r"\begin{matrix}x & y \\ 1 & 2\end{matrix}",
        ),
        ("<mmultiscripts><mi>U</mi><mprescripts/><mn>92</mn><mn>238</mn></mmultiscripts>", "{}_{92}^{238}U"),
        (f"{X}<mtext> for all </mtext>{Y}", r"x\text{ for all }y"),
        ("<mi>sin</mi><mo>&#8289;</mo><mi>θ</mi><mi mathvariant='double-struck'>R</mi>", r"\sin\theta\mathbb{R}"),
        ("<mi>max</mi><mi>x</mi><mi>speed</mi><mo>mod</mo>", r"\max x\mathrm{speed}\operatorname{mod}"),
        (f"<mstyle><mpadded>{X}</mpadded><mphantom>{Y}</mphantom></mstyle>", "x"),
        (f"<semantics><mrow>{X}</mrow><annotation>no</annotation></semantics>", "x"),
        ("<mo>{</mo><mn>50</mn><mo>%</mo><mo>}</mo><mi>a_b</mi>", r"\{50\%\}a\_b"),
        (f"<m:msup><m:mi>x</m:mi>{N}</m:msup>", "x^2"),
        (f"<mfrac>{X}</mfrac>", "x"),  # malformed: an argument is missing
        (f"<mrow>a{X}b</mrow>", "axb"),
    ],
)
def test_forms(mathml: str, latex: str) -> None:
    assert write_latex(fragment_fromstring(f"<math>{mathml}</math>")) == latex


LEAVES = st.sampled_from([f"<{tag}>{sign}</{tag}>" for tag in ("mi", "mn", "mo", "mtext") for sign in "abcdefgh"])
TAGS = st.sampled_from(
    ["mrow", "mfrac", "msup", "msub", "msubsup", "mroot", "msqrt", "mover", "munder", "munderover", "mtable", "mtr",
     "mtd", "mfenced", "mstyle", "mmultiscripts", "menclose", "merror", "mprescripts", "mlabeledtr"]
)  # fmt: skip
MATHML = st.recursive(
    LEAVES,
    lambda inner: st.tuples(TAGS, st.lists(inner, max_size=4)).map(
        lambda parts: f"<{parts[0]}>{''.join(parts[1])}</{parts[0]}>"
    ),
    max_leaves=20,
)


@settings(max_examples=400, deadline=None)
@given(MATHML)
def test_braces_match_and_no_sign_is_lost(mathml: str) -> None:
    latex = write_latex(fragment_fromstring(f"<math>{mathml}</math>"))
    depth = 0
    for sign in re.sub(r"\\[{}]", "", latex):
        depth += (sign == "{") - (sign == "}")
        assert depth >= 0
    assert depth == 0
    signs = re.sub(r"\\[a-zA-Z]+|begin\{matrix\}|end\{matrix\}", "", re.sub(r"\\(begin|end)\{matrix\}", "", latex))
    if not re.search(
        "mfrac|mroot|msu|mover|munder|mlabeled|mmulti|mprescripts", mathml
    ):  # these may have too many parts
        assert sorted(re.findall("[a-h]", signs)) == sorted(re.findall("[a-h](?=<)", mathml))


def test_deep_formulas_take_linear_time() -> None:
    deep = "<mover><mrow>" * 100 + X + "</mrow><mo>^</mo></mover>" * 100
    assert write_latex(fragment_fromstring(f"<math>{deep}</math>")).count(r"\hat") == 100
