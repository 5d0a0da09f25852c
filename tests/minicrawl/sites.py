"""The web sites of the mini-crawl: each has a layout, a charset, and its own header, navigation and footer."""

# ruff: noqa: E501  sentences and markup are easier to read on one line

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from tests.minicrawl.grammar import Story

# The MathML presentation of the formulas in prose/en_math.txt; the TeX source is in the annotation.
_MATHML = "<mrow><mi>f</mi><mo>(</mo><mi>x</mi><mo>)</mo><mo>=</mo><mfrac><mn>1</mn><mi>n</mi></mfrac></mrow>"


@dataclass(frozen=True)
class Site:
    host: str
    name: str
    layout: str  # article, divs, table, forum, shop, docs
    language: str = "en"
    charset: str = "utf-8"
    declared: str = "header"  # where the charset is declared: header, meta or nowhere
    menu: tuple[str, ...] = ("Home", "Latest", "Archive", "About us", "Contact")
    footer: str = ""

    def url(self, path: str) -> str:
        return f"https://{self.host}/{path}"

    @property
    def content_type(self) -> str:
        return f"text/html; charset={self.charset}" if self.declared == "header" else "text/html"


def render(site: Site, story: Story) -> bytes:
    """The bytes of the page as the site's server sends them."""
    body = {
        "article": _article, "divs": _divs, "table": _table_layout, "forum": _forum, "shop": _shop, "docs": _docs,
    }[site.layout](site, story)  # fmt: skip
    return page(site, story.title, body)


def page(site: Site, title: str, body: str) -> bytes:
    """The encoded HTML document: a head with title and charset, and `body`."""
    meta = f'<meta charset="{site.charset}">' if site.declared == "meta" else ""
    html = (
        f'<!DOCTYPE html>\n<html lang="{site.language}">\n<head>{meta}<title>{escape(title)}</title>\n'
        f'<link rel="stylesheet" href="/static/main.css"><script src="/static/app.js"></script>\n'
        f"<style>body {{ font: 16px serif }} .menu a {{ padding: 4px }}</style></head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )
    return html.encode(site.charset, "xmlcharrefreplace")


def _menu(site: Site) -> str:
    items = "".join(f'<li><a href="/{n}">{escape(item)}</a></li>' for n, item in enumerate(site.menu))
    return f'<nav class="menu"><ul>{items}</ul></nav>'


def _blocks(story: Story) -> str:
    return "\n".join(_BLOCKS[kind](text) for kind, text in story.blocks)


def _math(tex: str) -> str:
    return (
        f'<div class="equation"><math display="block" alttext="{escape(tex)}"><semantics>{_MATHML}'
        f'<annotation encoding="application/x-tex">{escape(tex)}</annotation></semantics></math></div>'
    )


def _table(rows: str) -> str:
    cells = [row.split(",") for row in rows.split(";")]
    head = "".join(f"<th>{name}</th>" for name in ("Place or kind", "First year", "Second year", "Third year"))
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in cells)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


_BLOCKS = {
    "p": lambda text: f"<p>{escape(text, quote=False)}</p>",
    "code": lambda text: f'<pre><code class="language-python">{escape(text, quote=False)}</code></pre>',
    "math": _math,
    "table": _table,
    "html": str,
}


def _article(site: Site, story: Story) -> str:
    return (
        f'<header><a class="logo" href="/">{escape(site.name)}</a>{_menu(site)}</header>\n<main><article>'
        f"<h1>{escape(story.title)}</h1>\n{_blocks(story)}\n</article></main>\n"
        f'<aside><h3>Read next</h3><ul><li><a href="/1">Yesterday</a></li><li><a href="/2">Most read</a></li></ul></aside>'
        f"<footer><p>{escape(site.footer)}</p></footer>"
    )


def _divs(site: Site, story: Story) -> str:
    return (
        f'<div id="top"><div class="brand">{escape(site.name)}</div>{_menu(site)}</div>\n<div id="wrap"><div id="content">'
        f'<h2 class="title">{escape(story.title)}</h2>\n<div class="entry">{_blocks(story)}</div></div>\n'
        f'<div id="sidebar"><div class="widget">Search</div><div class="widget">Blogroll</div></div></div>\n'
        f'<div id="footer">{escape(site.footer)}</div>'
    )


def _table_layout(site: Site, story: Story) -> str:
    # In the style of 1998: a table as page frame, font tags, no closing </p>.
    text = "\n".join(f"<p>{escape(block, quote=False)}" for _, block in story.blocks)
    return (
        f"<center><font size=+2>{escape(site.name)}</font></center><hr>\n<table width=100% border=0><tr>"
        f'<td width=120 valign=top bgcolor="#ccccff">{_menu(site)}</td>\n<td valign=top><h1>{escape(story.title)}</h1>'
        f"\n{text}\n</td></tr></table><hr><font size=-1>{escape(site.footer)}</font>"
    )


_NAMES = ("hedgehog_79", "tilda_k", "oldgreybeard", "maggieT", "captain_nemo", "wrenchwitch")


def _forum(site: Site, story: Story) -> str:
    posts = "".join(
        f'<div class="post" id="p{n}"><div class="author"><b>{_NAMES[(n + len(story.title)) % len(_NAMES)]}</b><br>'
        f'Posts: {17 * n + 40}</div><div class="postbody"><div class="content"><p>{escape(text, quote=False)}</p></div>'
        f'<div class="buttons"><a href="#q">Quote</a> <a href="#r">Report</a></div></div></div>\n'
        for n, (_, text) in enumerate(story.blocks, 1)
    )
    return (
        f'<div class="header"><h2>{escape(site.name)}</h2>{_menu(site)}</div><div class="breadcrumbs">Index &raquo; Help'
        f'</div>\n<h3 class="topic-title">{escape(story.title)}</h3>\n<div class="posts">{posts}</div>\n'
        f'<div class="footer">{escape(site.footer)}</div>'
    )


def _shop(site: Site, story: Story) -> str:
    first, *rest = [f"<p>{escape(text, quote=False)}</p>" for _, text in story.blocks]
    return (
        f'<header>{escape(site.name)} <form action="/search"><input name="q"></form>{_menu(site)}</header>\n'
        f'<main class="product"><h1>{escape(story.title)}</h1><span class="price">in stock</span>'
        f'<button>Add to basket</button>\n<div class="description">{first}\n{"".join(rest)}</div></main>\n'
        f'<section class="related"><h2>Others bought</h2><ul><li><a href="/a">Twine</a></li><li><a href="/b">Gloves</a>'
        f"</li></ul></section><footer>{escape(site.footer)}</footer>"
    )


def _docs(site: Site, story: Story) -> str:
    return (
        f'<div class="related"><ul><li><a href="index.html">{escape(site.name)}</a></li></ul></div>\n'
        f'<div class="document"><div class="body" role="main"><section><h1>{escape(story.title)}</h1>\n{_blocks(story)}\n'
        f'</section></div></div>\n<div class="sphinxsidebar">{_menu(site)}</div><div class="footer">{escape(site.footer)}</div>'
    )
