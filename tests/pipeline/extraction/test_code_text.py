"""Code as a browser shows it, whatever elements a highlighter made of its lines, with the language of its markup."""

from __future__ import annotations

import pytest

from tests.pipeline.extraction.rendering_help import text_of

CODE = "for x in y:\n    print(x)\n\n\treturn 42"
LINES = CODE.split("\n")


def lines_as(form: str) -> str:
    return "".join(form.replace("{}", line).replace("#", str(n)) for n, line in enumerate(LINES, 1))


def spaces(source: str) -> str:
    return source.replace("    ", "&nbsp;&nbsp;&nbsp;&nbsp;").replace("\t", "&#9;")


NUMBERS = "\n".join(map(str, range(1, 5)))
FORMS = {
    "pre": f"<pre>{CODE}</pre>",
    "pre and code": f"<pre><code>{CODE}\n</code></pre>",
    "breaks": f"<pre>{'<br>'.join(LINES)}</pre>",
    "breaks that a blog added to lines": f"<pre><code>{('<br />' + chr(10)).join(LINES)}</code></pre>",
    "items": f"<pre><ol class=linenums>{lines_as('<li class=L#><span>{}</span></li>')}</ol></pre>",
    "divs": f"<pre><code>{lines_as('<div class=line>{}</div>')}</code></pre>",
    "code without pre": f"<code>{lines_as('<div>{}</div>')}</code>",
    "code with breaks": spaces(f"<code>{'<br>'.join(LINES)}</code>"),
    "spans and line breaks": f"<pre class=shiki><code>{lines_as('<span class=line>{}</span>' + chr(10))}</code></pre>",
    "spans shown as blocks": f"<pre><code>{lines_as('<span class=line>{}</span>')}</code></pre>",
    "docusaurus": f"<pre><code>{lines_as('<span class=token-line>{}<br></span>')}</code></pre>",
    "pygments, numbers in the lines": "<div class=highlight><pre>"
    + lines_as("<span class=linenos>#</span>{}\n")
    + "</pre></div>",
    "pygments table": f"<table class=highlighttable><tr><td class=linenos><div><pre>{NUMBERS}</pre></div>"
    f"<td class=code><div class=highlight><pre>{CODE}</pre></div></table>",
    "a table without classes": f"<table><tr><td><pre>{NUMBERS}</pre><td><pre>{CODE}</pre></table>",
    "rouge": "<div class=highlight><pre class=highlight><code><table class=rouge-table>"
    f"<tr><td class='rouge-gutter gl'><pre class=lineno>{NUMBERS}\n</pre><td class=rouge-code><pre>{CODE}\n</pre>"
    "</table></code></pre></div>",
    "chroma table": "<div class=chroma><table class=lntable><tr><td class=lntd><pre class=chroma><code>"
    + lines_as("<span class=lnt>#\n</span>")
    + f"</code></pre><td class=lntd><pre class=chroma><code class=language-none>{CODE}</code></pre></table></div>",
    "prism": f"<pre class='line-numbers'><code class='line-numbers'>{CODE}<span class=line-numbers-rows>"
    "<span></span><span></span></span></code></pre>",
    "hljs numbers": f"<pre><code class=hljs>{CODE.replace('42', '<span class=hljs-number>42</span>')}</code></pre>",
    "hljs lines": "<pre><code><table class=hljs-ln>"
    + lines_as("<tr><td class='hljs-ln-numbers' data-line-number=#><td class='hljs-ln-code'>{}</td></tr>")
    + "</table></code></pre>",
    "github": "<table class='highlight js-file-line-container'>"
    + lines_as("<tr><td id=L# class='blob-num' data-line-number=#><td class='blob-code'>{}</td></tr>")
    + "</table>",
    "github, indented": "<table class='highlight js-file-line-container'>\n"
    + lines_as(
        "      <tr>\n        <td id=L# class='blob-num'></td>\n"
        "        <td class='blob-code'>{}</td>\n      </tr>\n"
    )
    + "</table>",
    "github's changes": "<table class='diff-table'>\n"
    + lines_as(
        "  <tr>\n    <td class=blob-num></td>\n    <td class=blob-code>\n"
        "      <span class='blob-code-inner'>{}</span>\n    </td>\n  </tr>\n"
    )
    + "</table>",
    "items with code, no pre": spaces(f"<ol>{lines_as('<li><code>{}</code></li>' + chr(10))}</ol>"),
    "divisions with code, no pre": spaces(f"<div>{lines_as('<div><code>{}</code></div>')}</div>"),
    "prettify, no pre": spaces(f"<ol class=linenums>{lines_as('<li class=L#><span class=kwd>{}</span></li>')}</ol>"),
    "syntaxhighlighter": spaces(
        "<div class='syntaxhighlighter'><div class=toolbar><a>?</a></div><table><tr><td class=gutter>"
        + lines_as("<div class='line number#'>#</div>")
        + "<td class=code><div class=container>"
        + lines_as("<div class='line number# index'><code class='plain'>{}</code></div>\n")
        + "</div></table></div>"
    ),
    "crayon": spaces(
        "<div class='crayon-syntax'><div class='crayon-main'><table class='crayon-table'><tr><td class='crayon-nums'>"
        + lines_as("<div class='crayon-num'>#</div>")
        + "<td class='crayon-code'><div class='crayon-pre'>"
        + lines_as("<div class='crayon-line'>{}</div>")
        + "</div></table></div></div>"
    ),
    "geshi": f"<div class='geshi'><ol>{lines_as('<li><div class=de1>{}</div></li>')}</ol></div>",
    "doxygen": f"<div class='fragment'>{lines_as('<div class=line>{}</div>')}</div>",
    "latexml": f"<div class='ltx_listing'>{lines_as('<div class=ltx_listingline><span>{}</span></div>')}</div>",
    "codemirror": f"<div class='CodeMirror-code'>{lines_as('<div><span>{}</span></div>')}</div>",
    "a button to copy it": f"<pre><button>Copy</button><code>{CODE}</code><span class=copy>Copy</span></pre>",
    "colored": f"<pre><code>{CODE.replace('for', '<b>for</b>').replace('print', '<span>print</span>')}</code></pre>",
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_lines_and_margins_are_those_of_the_code(form: str) -> None:
    page = text_of(f"<p>Before.</p>{form}<p>After.</p>")
    assert page == f"Before.\n\n```\n{CODE}\n```\n\nAfter."


def test_a_list_of_names_in_code_stays_a_list() -> None:
    items = "".join(f"<li><code>{name}</code></li>" for name in ("--first", "open(path)", "x = 2"))
    assert text_of(f"<ul>{items}</ul>") == "- `--first`\n- `open(path)`\n- `x = 2`"


@pytest.mark.parametrize(
    "opening",
    [
        "<pre class='language-python'>",
        "<pre><code class='lang-python'>",
        "<pre><code class='hljs python'>",
        "<pre class='brush: python; gutter: false'>",
        "<pre class='sourceCode python'>",
        "<pre data-lang=Python>",
        "<div class='highlight highlight-source-python'><pre>",
        "<div class='highlight-python notranslate'><div class=highlight><pre>",
        "<div class='language-python highlighter-rouge'><div class=highlight><pre class=highlight>",
        "<figure data-language=python><pre>",
        "<pre class='src src-python'>",
    ],
)
def test_the_language_is_the_one_that_the_markup_names(opening: str) -> None:
    assert text_of(f"{opening}import this") == "```python\nimport this\n```"


@pytest.mark.parametrize("opening", ["<pre class='language-none'>", "<pre lang=en>", "<pre><code class='hljs'>"])
def test_no_language_is_invented(opening: str) -> None:
    assert text_of(f"{opening}import this; f(x)") == "```\nimport this; f(x)\n```"


def test_prose_in_pre_keeps_its_lines_and_gets_no_fence() -> None:
    poem = "Roses are red,\n   violets are blue."
    assert text_of(f"<p>a</p><pre>{poem}</pre><p>b</p>") == f"a\n\n{poem}\n\nb"


def test_inline_code() -> None:
    assert text_of("<p>Call <code>f( x )</code>, <kbd>a`b</kbd>.</p>") == "Call `f( x )`, `` a`b ``."
