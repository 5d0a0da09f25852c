"""Parse wikitext with mwparserfromhell: plain text of an article."""

from __future__ import annotations

import re

import mwparserfromhell

_SKIPPED_TAGS = frozenset({"ref", "references", "table", "gallery", "math", "timeline", "imagemap", "score"})
# Headings of the sections after the article's prose, in the languages of the training data.
_APPARATUS = re.compile(
    r"^\s*(?:references|see also|external links|further reading|notes|bibliography|sources|"
    r"note|bibliografia|altri progetti|collegamenti esterni|voci correlate|literatūra)\s*$",
    re.IGNORECASE | re.MULTILINE,
)
_MEDIA = re.compile(r"^(?:thumb|right|left|center|\d+px|[^\s:]{3,12}:[^\n]*\|).*$", re.MULTILINE)


def plain_text(wikitext: str) -> str:
    """The article's prose, without templates, tables, notes, media, and the sections of references and links."""
    code = mwparserfromhell.parse(wikitext, skip_style_tags=True)
    for node in code.filter_tags(recursive=False, matches=lambda tag: str(tag.tag).strip().lower() in _SKIPPED_TAGS):
        code.remove(node)
    text = _MEDIA.sub("", str(code.strip_code(normalize=True, collapse=True)))
    return re.sub(r"\n{3,}", "\n\n", _APPARATUS.split(text, maxsplit=1)[0]).strip()
