"""Code is distinguished from other preformatted text, and keeps its lines."""

from __future__ import annotations

import pytest
from lxml.html import document_fromstring

from pipeline.extraction.code_blocks import looks_like_code, protect_code
from pipeline.extraction.marks import FENCE, NEWLINE, PRE, SPACE


@pytest.mark.parametrize(
    ("html", "is_code"),
    [
        ("<pre>Roses are red,\nviolets are blue.</pre>", False),
        ("<pre>def f(x):\n    return x</pre>", True),
        ("<pre class='highlight'>anything</pre>", True),
        ("<pre><code>anything</code></pre>", True),
    ],
)
def test_what_looks_like_code(html: str, is_code: bool) -> None:
    assert looks_like_code(document_fromstring(html).find(".//pre")) is is_code


def test_blocks_are_marked_and_counted() -> None:
    tree = document_fromstring(
        "<div><pre>def f():\n  return 1</pre><pre>A poem\nof two lines</pre><code>x</code></div>"
    )
    assert protect_code(tree) == 2
    assert [block.text for block in tree.iter("pre")] == [
        f"{FENCE}{NEWLINE}def f():{NEWLINE}{SPACE * 2}return 1{FENCE}",
        f"{PRE}A poem{NEWLINE}of two lines{PRE}",
    ]
