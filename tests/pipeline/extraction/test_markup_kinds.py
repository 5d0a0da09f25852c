"""The learned engine on kinds of markup that cost other extractors text, each written in several ways."""

# ruff: noqa: E501  markup is easier to read on one line

from __future__ import annotations

from collections.abc import Callable

import pytest

from pipeline.documents import Page
from pipeline.extraction.engines import Engine, ExtractionOptions, build_engine
from pipeline.extraction.parsed_page import parse_page
from tests.minicrawl.grammar import make_story

STORIES = [make_story("en_news", number) for number in range(12)]
PARAGRAPHS = [text for story in STORIES[:4] for kind, text in story.blocks if kind == "p" and len(text) > 150][:8]
SENTENCES = [story.blocks[1][1].split(". ")[0] + "." for story in STORIES]
TEASER_TEXTS = [" ".join(story.blocks[2][1].split()[:14]) + " …" for story in STORIES]
TITLES = [story.title for story in STORIES]
MENU = (
    "<header><nav class='menu'><ul>"
    + "".join(
        f"<li><a href='/{n}'>{t}</a></li>"
        for n, t in enumerate(["News", "Town", "Sports", "Markets", "Letters", "Contact"])
    )
    + "</ul></nav></header>"
)
FOOTER = "<footer class='site-footer'><p><a href='/imprint'>Imprint</a> © 2026 All rights reserved</p></footer>"


@pytest.fixture(scope="module")
def engine() -> Engine:
    return build_engine(ExtractionOptions("learned", "text", 1.0, 800, comments=False, tables=True))


def read(engine: Engine, body: str, url: str = "https://valley.example/2024/05/the-mill") -> str:
    html = f"<html><head><title>{TITLES[0]}</title></head><body>{MENU}{body}{FOOTER}</body></html>"
    page = Page(url, "2026-01-01T00:00:00Z", "a.warc.gz", 0, html.encode(), http_charset="utf-8")
    return engine(parse_page(page, 10**6, 10**5)).text


def article(*parts: str) -> str:
    return f"<main><article><h1>{TITLES[0]}</h1>{''.join(parts)}</article></main>"


def p(*numbers: int) -> str:
    return "".join(f"<p>{PARAGRAPHS[number]}</p>" for number in numbers)


POSTS: dict[str, Callable[[int, str], str]] = {
    "xenforo": lambda n, text: f"<article class='message message--post' id='js-post-{n}'><div class='message-user'><h4 class='message-name'>user{n}</h4></div><div class='message-content'><div class='bbWrapper'>{text}</div></div></article>",
    "phpbb": lambda n, text: f"<div id='p{n}' class='post bg{n % 2}'><div class='inner'><dl class='postprofile'><dt>user{n}</dt><dd>Posts: {n}3</dd></dl><div class='postbody'><h3>Re: wheel</h3><div class='content'>{text}</div></div></div></div>",
    "discourse": lambda n, text: f"<div itemprop='comment' itemscope class='topic-body crawler-post'><div class='crawler-post-meta'><span class='creator'><a href='/u/{n}'>user{n}</a></span></div><div class='post' itemprop='text'><p>{text}</p></div></div>",
    "answers": lambda n, text: f"<div class='answer' id='answer-{n}'><div class='votecell'><span class='vote-count'>{n}</span></div><div class='answercell'><div class='s-prose'><p>{text}</p></div><div class='user-info'>user{n}</div></div></div>",
    "comments": lambda n, text: f"<div class='comment' id='t1_{n}'><p class='tagline'><a href='/u/{n}'>user{n}</a> {n} points</p><div class='usertext-body'><div class='md'><p>{text}</p></div></div></div>",
    "comment tables": lambda n, text: f"<table class='comtr'><tr><td class='votelinks'></td><td class='default'><span class='comhead'><a href='/user?id={n}'>user{n}</a></span><div class='comment'><span class='commtext'>{text}</span></div></td></tr></table>",
}  # fmt: skip


@pytest.mark.parametrize("name", POSTS)
def test_all_posts_of_a_thread_are_kept_whatever_they_are_called(engine: Engine, name: str) -> None:
    """Also where posts are called comments, and where the first is as long as all others."""
    texts = [" ".join(PARAGRAPHS[:3]), *PARAGRAPHS[3:8]]
    posts = "".join(POSTS[name](n, text) for n, text in enumerate(texts))
    found = read(
        engine,
        f"<div class='page'><h1>{TITLES[0]}</h1><div class='thread'>{posts}</div></div>",
        "https://forum.example/threads/wheel.12/comments/",
    )
    assert [n for n, text in enumerate(texts) if text not in found] == []


CUTS = {
    "advertisement": ("<div class='entry-content'>", "</div><div class='ad-slot'><ins class='adsbygoogle'></ins></div>"),
    "sections": ("<section class='content'>", "</section>"),
    "articles": ("<article class='part'>", "</article>"),
    "figures": ("<div class='text-block'>", "</div><figure class='wide'><img src='a.jpg'></figure>"),
}  # fmt: skip


@pytest.mark.parametrize("name", CUTS)
def test_all_parts_of_an_article_in_several_containers_are_kept(engine: Engine, name: str) -> None:
    start, end = CUTS[name]
    parts = "".join(f"{start}{p(n, n + 1)}{end}" for n in (0, 2, 4))
    found = read(engine, f"<div class='page'><h1>{TITLES[0]}</h1>{parts}</div>")
    assert [n for n in range(6) if PARAGRAPHS[n] not in found] == []


PARAGRAPHS_WITHOUT_P = {
    "div": "<div>{}</div>", "span in div": "<div><span>{}</span></div>", "center": "<center>{}</center>",
    "table": "<table><tr><td>{}</td></tr></table>", "label": "<label>{}</label>",
    "fieldset": "<fieldset>{}</fieldset>", "custom element": "<x-paragraph>{}</x-paragraph>", "bare": "{}",
    "line breaks": "<br><br>{}<br><br>", "font": "<font size=2>{}</font>",
}  # fmt: skip


@pytest.mark.parametrize("name", PARAGRAPHS_WITHOUT_P)
@pytest.mark.parametrize("alternate", [False, True])
def test_paragraphs_without_p_are_kept(engine: Engine, name: str, alternate: bool) -> None:
    odd = {1, 3, 5} if alternate else {3}
    parts = (PARAGRAPHS_WITHOUT_P[name].format(PARAGRAPHS[n]) if n in odd else p(n) for n in range(7))
    found = read(engine, article(*parts))
    assert [n for n in range(7) if PARAGRAPHS[n] not in found] == []


QUESTIONS = {
    "heading": "<h3><button aria-expanded='false'>{q}</button></h3><div class='panel'><p>{a}</p></div>",
    "bare": "<button class='accordion'>{q}</button><div class='panel'><p>{a}</p></div>",
    "details": "<details><summary>{q}</summary><p>{a}</p></details>",
    "role": "<div class='item'><div role='button' aria-expanded='false'>{q}</div><div class='body'><p>{a}</p></div></div>",
    "term": "<dl><dt><button data-toggle='collapse'>{q}</button></dt><dd>{a}</dd></dl>",
}  # fmt: skip


@pytest.mark.parametrize("name", QUESTIONS)
def test_questions_stand_before_their_answers(engine: Engine, name: str) -> None:
    questions = [f"How long does the {word} of the mill stand still?" for word in ("wheel", "weir", "stone", "gate")]
    parts = (QUESTIONS[name].format(q=q, a=PARAGRAPHS[n]) for n, q in enumerate(questions))
    found = read(engine, f"<main><h1>{TITLES[0]}</h1>{''.join(parts)}</main>", "https://valley.example/faq")
    places = [found.find(text) for n, q in enumerate(questions) for text in (q, PARAGRAPHS[n])]
    assert -1 not in places
    assert places == sorted(places)


CODE_IN_ITEMS = {
    "pre": "<pre><code>{}</code></pre>",
    "highlighted": "<div class='highlight'><pre><span></span><code>{}</code></pre></div>",
    "table": "<table class='highlighttable'><tr><td class='linenos'><pre>1\n2\n3</pre></td><td class='code'><pre>{}</pre></td></tr></table>",
}  # fmt: skip


@pytest.mark.parametrize("name", CODE_IN_ITEMS)
@pytest.mark.parametrize("tag", ["ol", "ul"])
def test_code_in_the_items_of_a_list_keeps_its_lines(engine: Engine, name: str, tag: str) -> None:
    code = "def turn(wheel):\n    for blade in wheel:\n        blade.move()"
    items = "".join(f"<li><p>{SENTENCES[n]}</p>{CODE_IN_ITEMS[name].format(code)}</li>" for n in range(3))
    found = read(engine, article(p(0, 1), f"<{tag}>{items}</{tag}>", p(2, 3)))
    assert [n for n in range(3) if SENTENCES[n] not in found] == []
    lines = [line.strip() for line in found.split("\n")]
    assert lines.count("for blade in wheel:") == lines.count("blade.move()") == 3


CODE = ["def turn(wheel):", "    for blade in wheel:", "        blade.move()"]
CODE_BY_LINES = {
    "list": ("<pre><ol>", "<li><code>{}</code></li>", "</ol></pre>"),
    "divisions": ("<div class='code'><pre>", "<div class='line'>{}</div>", "</pre></div>"),
    "line breaks": ("<code>", "{}<br>", "</code>"),
    "output": ("<samp>", "{}<br>", "</samp>"),
    "blocks": ("<pre><code>", "<span class='line' style='display:block'>{}</span>", "</code></pre>"),
    "highlighter": ("<div class='syntaxhighlighter'><table><tr><td class='gutter'>1 2 3</td><td class='code'><div class='container'>", "<div class='line'><code class='plain'>{}</code></div>", "</div></td></tr></table></div>"),
    "items": ("<ol class='steps'>", "<li><code>{}</code></li>", "</ol>"),
    "text box": ("<textarea readonly rows='3'>", "{}\n", "</textarea>"),
    "text box of a highlighter": ("<textarea name='code' class='java'>", "{}\n", "</textarea>"),
    "editor": ("<div class='CodeMirror-code'>", "<div><pre class='CodeMirror-line'><span>{}</span></pre></div>", "</div>"),
}  # fmt: skip


@pytest.mark.parametrize("name", CODE_BY_LINES)
def test_code_between_paragraphs_keeps_its_lines_and_indents(engine: Engine, name: str) -> None:
    start, line, end = CODE_BY_LINES[name]
    code = "".join(line.format(each.replace("  ", "&nbsp; ")) for each in CODE)
    found = read(engine, article(p(0, 1), start + code + end, p(2, 3)))
    assert [each for each in CODE if each not in found.replace("\xa0", " ").split("\n")] == []


def test_code_that_is_hidden_or_beside_the_text_is_not_added(engine: Engine) -> None:
    code = "<pre>" + "".join(f"<div class='line'>{each}</div>" for each in CODE) + "</pre>"
    found = read(engine, article(p(0, 1), f"<div style='display:none'>{code}</div>", p(2, 3)) + code)
    assert CODE[2] not in found


TEXT_BOXES = {
    "a copy": "<pre>{}</pre><textarea class='plain'>{}</textarea>",
    "hidden": "<pre>{}</pre><textarea style='display:none' readonly>{} // hidden</textarea>",
    "to embed": "<pre>{}</pre><textarea readonly>&lt;iframe src='x'>\n{}\n&lt;/iframe></textarea>",
    "a letter": "<pre>{}</pre><textarea>Dear miller,\nwe have read your letter of May.\nYours</textarea>",
}  # fmt: skip


@pytest.mark.parametrize("name", TEXT_BOXES)
def test_text_boxes_without_code_of_their_own_are_not_read(engine: Engine, name: str) -> None:
    found = read(engine, article(p(0, 1), TEXT_BOXES[name].replace("{}", "\n".join(CODE)), p(2, 3)))
    assert found.count(CODE[2]) == 1
    assert "Dear miller" not in found


LISTS_OF_LINKS = {
    "ul": "<p>{lead}</p><ul>{items}</ul>", "heading": "<h2>{lead}</h2><ol>{items}</ol>",
    "with a class": "<p>{lead}</p><ul class='wp-block-list'>{items}</ul>",
}  # fmt: skip


@pytest.mark.parametrize("name", LISTS_OF_LINKS)
def test_a_list_of_links_between_paragraphs_is_kept(engine: Engine, name: str) -> None:
    items = "".join(f"<li><a href='/doc/{n}'>Records of the mill, volume {n}</a>, {1840 + n}</li>" for n in range(5))
    found = read(
        engine,
        article(
            p(0, 1, 2, 3), LISTS_OF_LINKS[name].format(lead="Earlier mills on this river:", items=items), p(4, 5, 6)
        ),
    )
    assert "Earlier mills on this river" in found
    assert [n for n in range(5) if f"Records of the mill, volume {n}" not in found] == []


TEASERS = {
    "boxes": ("<div class='row'>", "<div class='col-md-4'><a href='/{n}'>{title}</a><p>{text}</p></div>", "</div>"),
    "cards": ("<section>", "<a href='/{n}'><h3>{title}</h3><p>{text}</p></a>", "</section>"),
    "grid": ("<div>", "<div><h4><a href='/{n}'>{title}</a></h4><div>{text}</div></div>", "</div>"),
}  # fmt: skip


@pytest.mark.parametrize("name", TEASERS)
@pytest.mark.parametrize("heading", ["Related articles", "More from the valley", "Das könnte Sie auch interessieren"])
def test_teasers_under_the_heading_of_related_articles_go(engine: Engine, name: str, heading: str) -> None:
    start, each, end = TEASERS[name]
    boxes = "".join(each.format(n=n, title=TITLES[n], text=TEASER_TEXTS[n]) for n in range(8, 12))
    found = read(engine, article(p(*range(8)), f"<h2>{heading}</h2>{start}{boxes}{end}"))
    assert [n for n in range(8, 12) if TEASER_TEXTS[n] in found] == []
    assert [n for n in range(8) if PARAGRAPHS[n] not in found] == []


SHADOWS = {
    "open": "<x-story><template shadowrootmode='open'>{}</template></x-story>",
    "closed": "<x-story><template shadowrootmode='closed'><style>p{{}}</style>{}</template></x-story>",
    "old name": "<x-story><template shadowroot='open'>{}</template></x-story>",
    "slot": "<x-story><template shadowrootmode='open'><header>Valley</header><slot></slot></template>{}</x-story>",
    "nested": "<x-page><template shadowrootmode='open'><x-story><template shadowrootmode='open'>{}</template></x-story></template></x-page>",
}  # fmt: skip


@pytest.mark.parametrize("name", SHADOWS)
def test_declarative_shadow_roots_are_read(engine: Engine, name: str) -> None:
    found = read(engine, SHADOWS[name].format(article(p(0, 1, 2, 3))))
    assert [n for n in range(4) if PARAGRAPHS[n] not in found] == []
    other = read(engine, article(p(0, 1, 2, 3)) + f"<template>{p(5)}</template>")
    assert PARAGRAPHS[5] not in other
