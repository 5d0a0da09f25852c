"""HTML source to a tree."""

from __future__ import annotations

from classifiers.extraction.parse_html import count_elements, count_tags, encode_source, parse_html


def test_what_xml_cannot_hold_and_marks_of_the_page_are_removed() -> None:
    assert encode_source("a\x00b&#1;c\ufffed\U000f0005e&#983045;&#xF0005;&#65;") == b"a b c de  &#65;"


def test_tags_are_counted_only_where_the_bound_is_too_high() -> None:
    source = b"<p>1 < 2</p><b>"
    assert count_tags(source, 10) == 4  # every `<`
    assert count_tags(source, 3) == 2


def test_what_a_page_of_frames_says_without_them_is_parsed() -> None:
    for name in ("noframes", "NOFRAMES"):
        page = f"<{name}><body bgcolor=x><h1>Mill</h1><p>The <b>wheel</b></{name}>"
        tree, _ = parse_html(encode_source(f"<frameset cols=2><frame src=a>{page}</frameset>"))
        assert tree is not None
        assert [element.tag for element in tree.iter("h1", "p", "b")] == ["h1", "p", "b"]


def test_a_page_is_parsed_up_to_the_depth_of_the_parser() -> None:
    tree, too_deep = parse_html(b"<p>one<p>two")
    assert tree is not None
    assert (count_elements(tree), too_deep) == (4, False)
    assert parse_html(b"<div>" * 400)[1]
    assert parse_html(b"") == (None, False)
