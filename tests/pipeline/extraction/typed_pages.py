"""Pages of our own making, of every type and in six languages, with the main content that they should give."""

# ruff: noqa: E501  markup is easier to read on one line

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import escape

from tests.minicrawl.grammar import make_story
from tests.minicrawl.kept import SITES

GENRES = ("en_news", "en_town", "de_news", "fr_news", "es_news", "ru_news", "zh_article")


@dataclass(frozen=True)
class TypedPage:
    """A page and the text of its main content."""

    page_type: str
    language: str
    url: str
    html: str
    gold: str


Stories = list[tuple[str, list[str]]]  # titles and their paragraphs


def typed_pages() -> Iterator[TypedPage]:
    for genre in GENRES:
        site = SITES[genre]
        stories = [make_story(genre, number) for number in range(8)]
        texts = [(story.title, [text for _, text in story.blocks]) for story in stories]
        for name, build in BUILDERS.items():
            path, body, gold = build(texts)
            menu = "".join(f"<li><a href='/{n}'>{item}</a></li>" for n, item in enumerate(site.menu))
            html = (
                f"<html lang={site.language}><head><title>{escape(texts[0][0])} - {site.name}</title></head><body>"
                f"<header class='site-header'><a class='logo' href='/'>{site.name}</a><nav><ul>{menu}</ul></nav></header>"
                f"<div class='page'>{body}</div><footer class='site-footer'><ul>{menu}</ul><p>{site.footer}</p></footer>"
                f"<div id='cookie-consent' class='banner'><p>{texts[6][1][0][:80]}</p><button>OK</button></div>"
                "</body></html>"
            )
            yield TypedPage(name.partition(" ")[0], site.language, f"https://{site.host}{path}", html, gold)


def _paragraphs(texts: list[str]) -> str:
    return "".join(f"<p>{escape(text)}</p>" for text in texts)


def _aside(stories: Stories) -> str:
    teasers = "".join(f"<li><a href='/s'>{escape(title)}</a></li>" for title, _ in stories[4:7])
    return f"<aside class='sidebar'><h3>Top</h3><ul>{teasers}</ul></aside>"


def _article(stories: Stories) -> tuple[str, str, str]:
    title, texts = stories[0]
    related = "".join(
        f"<div class='card'><a href='/r'><h4>{escape(other)}</h4></a><p>{escape(paragraphs[0][:90])}</p></div>"
        for other, paragraphs in stories[1:4]
    )
    body = (
        f"<main><article><h1>{escape(title)}</h1>{_paragraphs(texts)}</article>"
        f"<section class='related'><h3>More</h3>{related}</section></main>{_aside(stories)}"
    )
    return "/2024/05/a-story-of-the-valley", body, "\n".join([title, *texts])


def _old_article(stories: Stories) -> tuple[str, str, str]:
    title, texts = stories[1]
    links = "<br>".join(f"<a href=/{n}>{escape(other)}</a>" for n, (other, _) in enumerate(stories[2:7]))
    text = "<br><br>".join(map(escape, texts))
    body = (
        f"<table width=100%><tr><td width=120 bgcolor=#cccccc><font size=-1>{links}</font></td>"
        f"<td><font size=+2><b>{escape(title)}</b></font><br><br>{text}</td></tr></table><hr>"
    )
    return "/~valley/story.htm", body, "\n".join([title, *texts])


def _forum(stories: Stories) -> tuple[str, str, str]:
    title = stories[0][0]
    texts = [text for _, paragraphs in stories[:3] for text in paragraphs[:3]]
    posts = "".join(
        f"<div class='message' id='post-{n}'><div class='message-user'><a href='/u/{n}'>user{n}</a><span>{40 * n}</span>"
        f"</div><div class='message-body'><div class='bbWrapper'>{escape(text)}</div></div>"
        "<div class='message-actions'><a href='#'>Like</a> <a href='#'>Reply</a></div></div>"
        for n, text in enumerate(texts)
    )
    return "/forum/threads/a-question.1234/", f"<h1>{escape(title)}</h1>{posts}", "\n".join([title, *texts])


def _listing(stories: Stories) -> tuple[str, str, str]:
    items = [(title, texts[0]) for title, texts in stories[:6]]
    entries = "".join(
        f"<article class='teaser'><h2><a href='/news/{n}'>{escape(title)}</a></h2><p>{escape(text)}</p></article>"
        for n, (title, text) in enumerate(items)
    )
    body = (
        f"<main class='archive'>{entries}<nav class='pagination'><a href='?p=2'>2</a> <a href='?p=3'>3</a></nav></main>"
    )
    return "/news/", body, "\n".join(part for item in items for part in item)


def _collection(stories: Stories) -> tuple[str, str, str]:
    cards = [(title, f"{10 + n},90 €") for n, (title, _) in enumerate(stories)]
    grid = "".join(
        f"<li class='product-card'><a href='/p/{n}'><img src='{n}.jpg'><h3>{escape(title)}</h3></a>"
        f"<span class='price'>{price}</span></li>"
        for n, (title, price) in enumerate(cards)
    )
    intro = stories[0][1][0]
    body = f"<main><h1>{escape(stories[7][0])}</h1><p>{escape(intro)}</p><ul class='product-grid'>{grid}</ul></main>"
    return "/collections/all", body, "\n".join([stories[7][0], intro, *(part for card in cards for part in card)])


def _product(stories: Stories) -> tuple[str, str, str]:
    title, texts = stories[0]
    rows = "".join(f"<tr><th>{escape(other)}</th><td>{n} cm</td></tr>" for n, (other, _) in enumerate(stories[1:4]))
    others = "".join(f"<li><a href='/p/{n}'>{escape(other)}</a></li>" for n, (other, _) in enumerate(stories[4:8]))
    body = (
        f"<main class='product'><div class='product-info'><h1>{escape(title)}</h1>"
        f"<span class='price'>24,90 €</span><button class='add-to-cart'>+</button></div>"
        f"<div class='product-description'>{_paragraphs(texts)}<table class='specs'>{rows}</table></div></main>"
        f"<section class='related-products'><h2>Also</h2><ul>{others}</ul></section>"
    )
    specs = [f"{other} {n} cm" for n, (other, _) in enumerate(stories[1:4])]
    return "/products/a-thing", body, "\n".join([title, "24,90 €", *texts, *specs])


def _documentation(stories: Stories) -> tuple[str, str, str]:
    sections = [(title, texts[:2]) for title, texts in stories[:3]]
    tree = "".join(f"<li><a href='/docs/{n}'>{escape(title)}</a></li>" for n, (title, _) in enumerate(stories))
    content = "".join(f"<section><h2>{escape(t)}</h2>{_paragraphs(p)}<pre>run --{n}</pre></section>"
                      for n, (t, p) in enumerate(sections))  # fmt: skip
    body = f"<nav class='toctree'><ul>{tree}</ul></nav><div class='document'><div role='main'>{content}</div></div>"
    gold = [part for n, (title, texts) in enumerate(sections) for part in (title, *texts, f"run --{n}")]
    return "/docs/guide.html", body, "\n".join(gold)


def _service(stories: Stories) -> tuple[str, str, str]:
    offers = [(title, texts[0]) for title, texts in stories[:4]]
    boxes = "".join(f"<div class='col'><h3>{escape(t)}</h3><p>{escape(p)}</p></div>" for t, p in offers)
    title, texts = stories[5]
    body = (
        f"<section class='hero'><h1>{escape(title)}</h1><p>{escape(texts[0])}</p><a class='btn' href='/contact'>OK</a>"
        f"</section><section class='services'><div class='row'>{boxes}</div></section>"
    )
    return "/", body, "\n".join([title, texts[0], *(part for offer in offers for part in offer)])


BUILDERS: dict[str, Callable[[Stories], tuple[str, str, str]]] = {
    "article": _article,
    "article of 1999": _old_article,
    "forum": _forum,
    "listing": _listing,
    "collection": _collection,
    "product": _product,
    "documentation": _documentation,
    "service": _service,
}
