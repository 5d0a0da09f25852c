"""Public suffixes of host names, by the list that the package tldextract ships: every machine has the same list.

tldextract answers the same (a test compares them), but it imports a client of HTTP to update its list: 0.2 s of CPU in
each process. Suffixes under which a company rents names (blogspot.com) do not count, as in tldextract by default.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import idna

_LIST, _PRIVATE_PART = ".tld_set_snapshot", "// ===BEGIN PRIVATE DOMAINS==="
_SUFFIX = re.compile(r"^[.*!]*\w\S*", re.MULTILINE)
_END = ""  # the key of a node at which a suffix ends


def split_suffix(host: str) -> tuple[str, str]:
    """The label before the public suffix, and the suffix; without a public suffix, the last label and "".

    >>> split_suffix("news.bbc.co.uk"), split_suffix("co.uk"), split_suffix("localhost")
    (('bbc', 'co.uk'), ('', 'co.uk'), ('localhost', ''))
    """
    labels = host.split(".")
    place = _find_suffix(labels)
    return labels[place - 1] if place else "", ".".join(labels[place:])


def _find_suffix(labels: list[str]) -> int:
    """The number of the first label of the longest public suffix; the number of labels if there is none."""
    node, found = _suffix_tree(), len(labels)
    for place in range(len(labels) - 1, -1, -1):
        label = _decode(labels[place].lower())
        if label not in node:
            if "*" in node:  # *.ck, but not www.ck
                return place + 1 if f"!{label}" in node else place
            break
        node = node[label]
        found = place if _END in node else found
    return found


def _decode(label: str) -> str:
    if not label.startswith("xn--"):
        return label
    try:
        return idna.decode(label)
    except (UnicodeError, IndexError):
        return label


@cache
def _suffix_tree() -> dict[str, Any]:
    """Labels from the last to the first, as nested dictionaries."""
    package = find_spec("tldextract")
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError("the package tldextract, whose list of public suffixes is needed, is not installed")
    text = (Path(package.submodule_search_locations[0]) / _LIST).read_text(encoding="utf-8")
    tree: dict[str, Any] = {}
    for suffix in _SUFFIX.findall(text.partition(_PRIVATE_PART)[0]):
        node = tree
        for label in reversed(suffix.split(".")):
            node = node.setdefault(label, {})
        node[_END] = {}
    return tree
