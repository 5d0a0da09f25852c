"""Rare markup is put into training pages: what is added is no main content, what is folded stays."""

from __future__ import annotations

from random import Random

from classifiers.extraction.blocks import BLOCK_TAGS, read_blocks
from classifiers.extraction.parse_html import parse_html
from classifiers.training.block_labels import label_blocks
from classifiers.training.rare_markup import RareMarkup, _write_list

_RANDOM = Random(1)
SENTENCES = [" ".join("".join(_RANDOM.choices("abcdefghij", k=6)) for _ in range(12)) + "." for _ in range(60)]
GOLD = "\n".join(["The parish of the weir", *(f"Heading {n}" for n in range(3)), *SENTENCES[40:58], *SENTENCES[58:]])
SECTIONS = [
    f"<h2>Heading {n}</h2>" + "".join(f"<p>{sentence}</p>" for sentence in SENTENCES[40 + 6 * n : 46 + 6 * n])
    for n in range(3)
]
PAGE = (
    "<html><body><nav><a href=/>Home page</a></nav><main><h1>The parish of the weir</h1>"
    + "".join(SECTIONS)
    + "".join(f"<p>{sentence}</p>" for sentence in SENTENCES[58:])
    + "</main></body></html>"
)
OTHERS = "<html><body>" + "".join(f"<p>{s}</p><b>Go on</b>" for s in SENTENCES[:40]) + "</body></html>"


def tree_of(html: str):
    tree, _ = parse_html(html.encode())
    assert tree is not None
    return tree


def change(identity: str):
    rare = RareMarkup()
    rare.change("other", tree_of(OTHERS), read_blocks(tree_of(OTHERS)), [0.0] * 80)
    tree = tree_of(PAGE)
    blocks = read_blocks(tree)
    changed = rare.change(identity, tree, blocks, label_blocks(blocks.texts, GOLD).tolist())
    return changed, read_blocks(tree)


def test_pages_are_changed_by_their_id_and_what_is_added_is_no_main_content() -> None:
    kinds = set()
    before = read_blocks(tree_of(PAGE)).texts
    for number in range(60):
        changed, blocks = change(f"page {number}")
        assert change(f"page {number}")[1].texts == blocks.texts
        shares = label_blocks(blocks.texts, GOLD)
        assert [text for text in before if text not in blocks.texts] == []
        added = [(text, share) for text, share in zip(blocks.texts, shares, strict=True) if text not in before]
        assert all(share < 0.5 for _, share in added)
        tags = {BLOCK_TAGS[tag] for tag in blocks.tags}
        kinds.add((changed, bool(added), "button" in tags, bool(blocks.hidden.any())))
    assert (False, False, False, False) in kinds
    assert {(True, True, False, False), (True, True, True, False), (True, True, False, True)} <= kinds
    assert (True, False, True, False) in kinds  # headings in buttons


def test_a_paragraph_written_as_a_list_stays_main_content() -> None:
    gold = "\n".join([*SENTENCES[:3], " ".join(SENTENCES[3:8]), *SENTENCES[8:10]])
    html = "<main>" + "".join(f"<p>{line}</p>" for line in gold.split("\n")) + "</main>"
    linked = 0
    for number in range(20):
        tree = tree_of(f"<html><body><nav><a href=/>Home page</a></nav>{html}</body></html>")
        _write_list(tree.find(".//main"), Random(number))
        blocks = read_blocks(tree)
        assert [BLOCK_TAGS[tag] for tag in blocks.tags[blocks.elements]].count("li") == 4
        assert label_blocks(blocks.texts, gold).tolist() == [0, *[1] * 10]
        linked += bool(blocks.linked[1:].any())
    assert 5 < linked < 20
