"""Opt-outs of one page: what its HTTP headers and its meta elements say against indexing, mining or training.

    source                        says                                         signal
    X-Robots-Tag, meta robots     noindex, none, noai, noimageai               the same word
    TDM-Reservation, meta         1: rights of text and data mining reserved   tdm_reserved
    Content-Usage                 n for AI training or a category above it     no_ai_training

A signal is written "place:signal": `header:noai`, `meta:tdm_reserved`. One for a single robot has its name in the
middle, `header:gptbot:noindex`. A value that a specification does not define says nothing.

Sources: Google's description of X-Robots-Tag and meta robots; DeviantArt's noai and noimageai (2022); W3C's community
report TDMRep (2024); draft-ietf-aipref-attach and the categories of draft-ietf-aipref-vocab, 00 to 06. Where two
statements of one kind contradict each other, the one against the use counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum

from pipeline.rights.headers import CONTENT_USAGE, ROBOTS_TAG, TDM_RESERVATION, Headers, values_of


class OptOut(StrEnum):
    """What a page, or its site, says against a use."""

    NOINDEX = "noindex"
    NONE = "none"  # noindex and nofollow
    NOAI = "noai"
    NOIMAGEAI = "noimageai"  # images only
    TDM_RESERVED = "tdm_reserved"
    NO_AI_TRAINING = "no_ai_training"
    ROBOTS_TXT = "robots_txt"  # robots.txt refuses the page to one of the agents


_ROBOTS_RULES = frozenset({OptOut.NOINDEX, OptOut.NONE, OptOut.NOAI, OptOut.NOIMAGEAI})
# Rules of X-Robots-Tag that have a value after a colon; any other word before a colon is a robot's name.
_RULES_WITH_VALUES = frozenset({"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"})
_AGENT = re.compile(r"\s*([A-Za-z0-9_.*-]{1,60})\s*:")
# Categories of the vocabulary that training a model falls under, the narrowest first. Drafts changed the names.
_TRAINING = ("train-ai", "train-genai")
_ALL_USES = ("bots", "all", "tdm", "ai", "genai")
_PREFERENCE = re.compile(r"(?:^|[,;\s])([a-z*][a-z0-9_.*-]*)=([yn])(?=[,;\s]|$)")


def read_header_opt_outs(headers: Headers) -> Iterator[str]:
    """The signals of a response's headers."""
    for value in values_of(headers, ROBOTS_TAG):
        yield from _read_robots_tag(value)
    if any(value == "1" for value in values_of(headers, TDM_RESERVATION)):
        yield f"header:{OptOut.TDM_RESERVED}"
    if refuses_training(values_of(headers, CONTENT_USAGE)):
        yield f"header:{OptOut.NO_AI_TRAINING}"


def _read_robots_tag(value: str) -> Iterator[str]:
    """`noai, gptbot: noindex`: the rules after a robot's name are for that robot only."""
    agent = ""
    for part in value.split(","):
        named = _AGENT.match(part)
        if named and named[1].lower() not in _RULES_WITH_VALUES:
            agent, part = named[1].lower(), part[named.end() :]
        yield from _name_rules("header", agent, [part])


def read_meta_opt_outs(metas: Iterable[Mapping[str, str]]) -> Iterator[str]:
    """The signals of meta elements, given by their attributes; a robot's own element is named after it."""
    for attributes in metas:
        name, content = attributes.get("name", "").strip().lower(), attributes.get("content", "")
        if not name or not content:
            continue
        if name == TDM_RESERVATION:
            if content.strip() == "1":
                yield f"meta:{OptOut.TDM_RESERVED}"
        elif name == "robots":
            yield from _name_rules("meta", "", content.split(","))
        elif "bot" in name or name in _OTHER_ROBOTS:
            yield from _name_rules("meta", name, content.split(","))


# Robots without "bot" in their names whose meta elements are common; any other name is not a robot's.
_OTHER_ROBOTS = frozenset({"slurp", "teoma", "google-extended", "googlebot-news", "anthropic-ai", "bytespider"})


def _name_rules(place: str, agent: str, rules: Iterable[str]) -> Iterator[str]:
    for rule in rules:
        word = rule.strip().lower()
        if word in _ROBOTS_RULES:
            yield ":".join(filter(None, (place, agent if agent != "*" else "", word)))


def refuses_training(usages: Iterable[str]) -> bool:
    """Whether statements of Content-Usage refuse the training of models; a narrow category goes before a wide one.

    >>> refuses_training(["train-ai=n, search=y"]), refuses_training(["bots=n, train-ai=y"])
    (True, False)
    """
    preferences: dict[str, set[str]] = {}
    for usage in usages:
        for category, preference in _PREFERENCE.findall(usage.lower()):
            preferences.setdefault(category, set()).add(preference)
    for categories in (_TRAINING, _ALL_USES):
        stated = [preferences[name] for name in categories if name in preferences]
        if stated:
            return any("n" in values for values in stated)
    return False


def signal_of(opt_out: str) -> OptOut:
    """The signal of an entry of the column `opt_outs`.

    >>> signal_of("header:gptbot:noindex"), signal_of("robots.txt:GPTBot")
    (<OptOut.NOINDEX: 'noindex'>, <OptOut.ROBOTS_TXT: 'robots_txt'>)
    """
    place, *_, last = opt_out.split(":")
    return OptOut.ROBOTS_TXT if place == "robots.txt" and last != OptOut.NO_AI_TRAINING else OptOut(last)


def agent_of(opt_out: str) -> str:
    """The robot that an entry is for, "" where it is for all."""
    _, *agent, _ = opt_out.split(":")
    return agent[0] if agent else ""
