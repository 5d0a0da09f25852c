"""The robots.txt files of a crawl, from its robotstxt WARC files, and what they refuse for a page.

Rules are matched by protego, as RFC 9309 says (the longest match wins); an agent without a group of its own follows the
group of `*`. Only answers with status 200 count: a site whose robots.txt cannot be read has not said no. Two lines that
concern training are read here, because protego passes over them: `Content-Usage` (draft-ietf-aipref-attach) and
`Content-Signal` (`ai-train=no`).

A host takes about half a kilobyte of memory in each page process: meant for the robotstxt files of some segments.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

from protego import Protego

from pipeline.errors import UserError
from pipeline.reading.http_message import parse_message
from pipeline.reading.warc import WHOLE_FILE, RawRecord, read_records
from pipeline.rights.opt_outs import OptOut, refuses_training

_LARGEST = 500 << 10  # bytes of a robots.txt that RFC 9309 requires a crawler to read
_OF_INTEREST = re.compile(rb"disallow|content-usage|content-signal", re.IGNORECASE)
_LINE = re.compile(r"^\s*([a-z -]{1,40}?)\s*:\s*([^#\r\n]*)", re.IGNORECASE)
_NO_TRAINING_SIGNAL = re.compile(r"(?:^|[,\s])ai-train\s*=\s*no(?:[,\s]|$)", re.IGNORECASE)
_PARSED = 2_000  # sites whose parsed rules are kept: the pages of a site follow each other in no crawl file


class RobotsFiles:
    """The robots.txt of every site in some WARC files, compressed; of several of one site, the last counts."""

    def __init__(self, paths: Sequence[Path], agents: Sequence[str]) -> None:
        self._agents = tuple(agents)
        self._texts: dict[str, bytes] = {}
        for path in paths:
            for site, text in _read_file(str(path)):
                self._texts.pop(site, None)
                if _OF_INTEREST.search(text):
                    self._texts[site] = zlib.compress(text, 6)
        self._parse = lru_cache(maxsize=_PARSED)(self._parse_site)

    def __len__(self) -> int:
        return len(self._texts)

    def opt_outs(self, url: str) -> list[str]:
        """`robots.txt:AGENT` for every agent to whom the page is refused, `robots.txt:no_ai_training` by its lines."""
        site = _site_of(url)
        if site not in self._texts:
            return []
        rules, usages = self._parse(site)
        found = [f"robots.txt:{agent}" for agent in self._agents if not rules.can_fetch(url, agent)]
        if refuses_training(_usages_of(url, usages)):
            found.append(f"robots.txt:{OptOut.NO_AI_TRAINING}")
        return found

    def _parse_site(self, site: str) -> tuple[Protego, tuple[tuple[str, str], ...]]:
        text = zlib.decompress(self._texts[site]).decode("utf-8", "replace")
        return Protego.parse(text), tuple(_read_usages(text, self._agents))


def _read_file(path: str) -> Iterator[tuple[str, bytes]]:
    """(site, robots.txt) of every response of a WARC file. Raises UserError for a file without any."""
    found = 0
    for record in read_records(path, 0, WHOLE_FILE, block_cap=_LARGEST + (1 << 16)):
        if isinstance(record, RawRecord) and (record.headers.get_header("WARC-Type") or "").strip() == "response":
            message = parse_message(record.block)
            url = (record.headers.get_header("WARC-Target-URI") or "").strip().strip("<>")
            found += 1
            if message.status == 200 and urlsplit(url).path.lower() == "/robots.txt":
                yield _site_of(url), message.body[:_LARGEST]
    if not found:
        raise UserError(
            f"check_rights.robots_files: {path}: holds no response; give the robotstxt WARC files of a crawl"
        )


def _site_of(url: str) -> str:
    """The scheme, host and port that a robots.txt is for.

    >>> _site_of("HTTPS://Example.org:443/a?b")
    'https://example.org'
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return ""
    scheme, host = parts.scheme.lower(), (parts.hostname or "").lower()
    usual = {"http": 80, "https": 443}.get(scheme)
    return f"{scheme}://{host}" + (f":{port}" if port and port != usual else "")


def _read_usages(text: str, agents: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(path, preferences) of the lines about training in the groups of `*` and of the agents."""
    wanted = {"*", *(agent.lower() for agent in agents)}
    group: set[str] = set()
    in_rules = False
    for line in text.splitlines():
        found = _LINE.match(line)
        if not found:
            continue
        name, value = found[1].lower(), found[2].strip()
        if name == "user-agent":
            group = {value.lower()} if in_rules else {*group, value.lower()}
            in_rules = False
            continue
        in_rules = True
        if name == "content-usage" and (group & wanted or not group):
            path, _, preferences = value.partition(" ") if value.startswith("/") else ("/", "", value)
            yield path, preferences
        elif name == "content-signal" and (group & wanted or not group) and _NO_TRAINING_SIGNAL.search(value):
            yield "/", "train-ai=n"


def _usages_of(url: str, usages: Sequence[tuple[str, str]]) -> list[str]:
    """The preferences for a page: those of the longest path that it is below."""
    parts = urlsplit(url)
    place = parts.path + (f"?{parts.query}" if parts.query else "") or "/"
    matching = [(path, preferences) for path, preferences in usages if place.startswith(path)]
    longest = max((len(path) for path, _ in matching), default=0)
    return [preferences for path, preferences in matching if len(path) == longest]
