"""Self-closed tags of code: what browsers take for code is no text, and no text is lost."""

from __future__ import annotations

import pytest

from classifiers.extraction.parse_html import encode_source, parse_html
from pipeline.extraction.self_closed_code import open_self_closed_code


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>a<script type=x />f('<b>')</script>b", "ab"),
        ("<p>a<SCRIPT/>f()</SCRIPT >b<style media='x'/>p {}</style>c", "abc"),
        ("<p>a<script src='x'/></script>b<script src='y'/>c<script>f()</script>d", "abcd"),  # written as XML: c stays
        ("<p>a<style/>b<script src='x'/>c", "abc"),
        ("<p>a<scripted/>b</scripted>c<script/>f()</script><script/>g()</script>d", "abcd"),
    ],
)
def test_code_after_a_self_closed_tag_is_no_text(html: str, text: str) -> None:
    tree, _ = parse_html(open_self_closed_code(encode_source(html)))
    assert tree is not None
    for code in tree.iter("script", "style"):
        code.text = None
    assert "".join(tree.itertext()) == text


def test_many_self_closed_tags_take_linear_time() -> None:
    """A search that looks ahead from each to the end of the page would take minutes."""
    source = b"<script/>" * 100_000
    assert open_self_closed_code(source) == source
