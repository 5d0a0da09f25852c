"""check_rights: what a page says about its use is recorded, and drops it where the settings say so.

extract_text has read the headers and the meta elements; this stage adds what the crawl's robots.txt files say, leaves
out the signals for other robots, and decides. By default a page is dropped that says no to the training of models
(`noai`, a TDM reservation, Content-Usage, robots.txt); `noindex`, `none` and `noimageai` are only recorded, because
they are about search engines and images. A drop has the words of the text as its value, which is what respecting the
page costs, and neither text nor excerpt.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from pathlib import Path

from pydantic import Field

from pipeline.documents import Document, Dropped
from pipeline.rights.opt_outs import OptOut, agent_of, signal_of
from pipeline.rights.robots_txt import RobotsFiles
from pipeline.settings import Settings
from pipeline.text import count_words

NAME = "check_rights"
SIGNALS: tuple[str, ...] = ()
_VERSION = re.compile(r"-\d.*")
_AGAINST_TRAINING = (OptOut.NOAI, OptOut.TDM_RESERVED, OptOut.NO_AI_TRAINING, OptOut.ROBOTS_TXT)
# Robots of which their operators say that a refusal keeps a page out of the training of models (November 2026).
_TRAINING_AGENTS = (
    "GPTBot", "CCBot", "Google-Extended", "ClaudeBot", "anthropic-ai", "Applebot-Extended", "meta-externalagent",
    "Bytespider", "Amazonbot", "cohere-training-data-crawler",
)  # fmt: skip


class CheckRightsSettings(Settings):
    """Which opt-outs drop a page, whose robots.txt rules count, and which licenses are kept."""

    drop: tuple[OptOut, ...] = Field(
        _AGAINST_TRAINING, description="signals that drop a page; the others are recorded; empty: record all, drop none"
    )
    robots_files: tuple[Path, ...] = Field(
        (), description="robotstxt WARC files of the crawl; empty: robots.txt is not looked at"
    )
    agents: tuple[str, ...] = Field(
        _TRAINING_AGENTS, description="robots whose refusal counts, in robots.txt and in signals for one robot"
    )
    licenses: tuple[str, ...] = Field((), description="licenses to keep; left out: publish.licenses")


class CheckRightsReason(StrEnum):
    """The signal that dropped the page, or its license."""

    NOINDEX = "noindex"
    NONE = "none"
    NOAI = "noai"
    NOIMAGEAI = "noimageai"
    TDM_RESERVED = "tdm_reserved"
    NO_AI_TRAINING = "no_ai_training"
    ROBOTS_TXT = "robots_txt"
    LICENSE = "license"  # none of the licenses that publish.licenses lists


REASONS = CheckRightsReason


def files(settings: CheckRightsSettings) -> list[Path]:
    """The robotstxt files."""
    return list(settings.robots_files)


def build(settings: CheckRightsSettings) -> Callable[[Document], Document | Dropped]:
    """Read the robotstxt files. Raises UserError for one that holds no response."""
    robots = RobotsFiles(settings.robots_files, settings.agents)
    agents = frozenset(agent.lower() for agent in settings.agents)

    def check_rights(document: Document) -> Document | Dropped:
        found = [entry for entry in document.rights.opt_outs if agent_of(entry) in agents or not agent_of(entry)]
        found += robots.opt_outs(document.url)
        opt_outs = tuple(sorted(found))
        if opt_outs != document.rights.opt_outs:
            document = replace(document, rights=replace(document.rights, opt_outs=opt_outs))
        return _find_drop(document, settings) or document

    return check_rights


def _find_drop(document: Document, settings: CheckRightsSettings) -> Dropped | None:
    rights = document.rights
    signals = {signal_of(entry): entry for entry in reversed(rights.opt_outs)}
    reason = next((signal for signal in settings.drop if signal in signals), None)
    if reason is not None:
        words, found = count_words(document.text), " ".join(rights.opt_outs)
        return Dropped(replace(document, text="", title=""), NAME, CheckRightsReason(reason), words, detail=found[:200])
    if settings.licenses and (rights.license_disagrees or not is_listed(rights.license, settings.licenses)):
        named = f"{rights.license} ({rights.license_place})" if rights.license else "the page names no license"
        other = ", but another place of the page disagrees" if rights.license_disagrees else ""
        return Dropped(document, NAME, CheckRightsReason.LICENSE, count_words(document.text), detail=named + other)
    return None


def is_listed(license: str, licenses: tuple[str, ...]) -> bool:
    """Whether a license is one of a list; an entry without a version is for all versions.

    >>> is_listed("CC-BY-4.0", ("CC-BY",)), is_listed("CC-BY-SA-4.0", ("CC-BY",))
    (True, False)
    """
    return any(license == entry or _VERSION.fullmatch(license.removeprefix(entry)) for entry in licenses)
