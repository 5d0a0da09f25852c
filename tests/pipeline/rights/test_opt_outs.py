"""Headers and meta elements with their meaning, as the specifications and the vendors' pages give it."""

from __future__ import annotations

import pytest
from lxml import html

from pipeline.documents import Rights
from pipeline.rights.headers import Headers
from pipeline.rights.opt_outs import OptOut, agent_of, refuses_training, signal_of
from pipeline.rights.read import read_rights

# (headers, meta elements) -> opt-outs. The comment names the source of the row.
MEANINGS: list[tuple[Headers, str, set[str]]] = [
    # Google, "Robots meta tag, data-nosnippet, and X-Robots-Tag specifications"
    ((("x-robots-tag", "noindex"),), "", {"header:noindex"}),
    ((("x-robots-tag", "NOINDEX , NoFollow"),), "", {"header:noindex"}),
    ((("x-robots-tag", "none"),), "", {"header:none"}),
    ((("x-robots-tag", "all"),), "", set()),
    ((("x-robots-tag", "nofollow"), ("x-robots-tag", "noindex")), "", {"header:noindex"}),
    ((("x-robots-tag", "unavailable_after: 25 Jun 2010 15:00:00 PST"),), "", set()),
    ((("x-robots-tag", "max-snippet:-1, noindex"),), "", {"header:noindex"}),
    ((("x-robots-tag", "googlebot: nofollow"),), "", set()),
    ((("x-robots-tag", "otherbot: noindex, nofollow"),), "", {"header:otherbot:noindex"}),
    ((("x-robots-tag", "noai, GPTBot: noindex"),), "", {"header:noai", "header:gptbot:noindex"}),
    ((("x-robots-tag", "*: noai"),), "", {"header:noai"}),
    ((), '<meta name="robots" content="noindex">', {"meta:noindex"}),
    ((), '<META NAME="ROBOTS" CONTENT="NOINDEX, NOFOLLOW">', {"meta:noindex"}),
    ((), '<meta name="robots" content="index, follow, max-image-preview:large">', set()),
    ((), '<meta name="googlebot" content="noindex">', {"meta:googlebot:noindex"}),
    ((), '<meta name="robots" content="">', set()),
    ((), '<meta name="description" content="noindex">', set()),
    ((), '<meta property="og:robots" content="noindex">', set()),
    # DeviantArt, "UPDATE All Deviations Are Opted Out of AI Datasets"
    ((), '<meta name="robots" content="noai, noimageai">', {"meta:noai", "meta:noimageai"}),
    ((("x-robots-tag", "noimageai"),), "", {"header:noimageai"}),
    # W3C community report TDMRep: 1 reserves, 0 does not, any other value is an error and says nothing
    ((("tdm-reservation", "1"),), "", {"header:tdm_reserved"}),
    ((("tdm-reservation", "0"),), "", set()),
    ((("tdm-reservation", "2"),), "", set()),
    ((("tdm-reservation", "1"), ("tdm-policy", "https://a.example/policy.json")), "", {"header:tdm_reserved"}),
    ((), '<meta name="tdm-reservation" content="1">', {"meta:tdm_reserved"}),
    ((), '<meta name="TDM-Reservation" content=" 1 ">', {"meta:tdm_reserved"}),
    ((), '<meta name="tdm-reservation" content="0">', set()),
    ((("tdm-reservation", "0"),), '<meta name="tdm-reservation" content="1">', {"meta:tdm_reserved"}),
    # draft-ietf-aipref-attach: a dictionary of structured fields; draft-ietf-aipref-vocab: its keys
    ((("content-usage", "train-ai=n"),), "", {"header:no_ai_training"}),
    ((("content-usage", "train-ai=y"),), "", set()),
    ((("content-usage", "search=n"),), "", set()),
    ((("content-usage", "search=y, train-ai=n"),), "", {"header:no_ai_training"}),
    ((("content-usage", "train-genai=n"),), "", {"header:no_ai_training"}),
    ((("content-usage", "bots=n"),), "", {"header:no_ai_training"}),
    ((("content-usage", "bots=n, train-ai=y"),), "", set()),
    ((("content-usage", "bots=y, train-ai=n"),), "", {"header:no_ai_training"}),
    ((("content-usage", "train-ai=?0"),), "", set()),
    ((("content-usage", "train-ai=nope"),), "", set()),
    ((("content-usage", "train-ai=n;exceptions=x"),), "", {"header:no_ai_training"}),
    ((("content-usage", "train-ai=y"), ("content-usage", "train-ai=n")), "", {"header:no_ai_training"}),
]


@pytest.mark.parametrize(("headers", "metas", "expected"), MEANINGS)
def test_headers_and_meta_elements_mean_what_their_specifications_say(
    headers: Headers, metas: str, expected: set[str]
) -> None:
    source = f"<html><head><title>x</title>{metas}</head><body><p>text</p></body></html>"
    assert set(read_rights(headers, html.fromstring(source), source.encode()).opt_outs) == expected


def test_every_signal_has_a_row() -> None:
    named = {signal_of(entry) for _, _, entries in MEANINGS for entry in entries}
    assert named == set(OptOut) - {OptOut.ROBOTS_TXT}


def test_a_page_that_says_nothing_costs_one_shared_value() -> None:
    tree = html.fromstring("<html><body><p>text</p></body></html>")
    assert read_rights((), tree, b"") is read_rights((), None) == Rights()


@pytest.mark.parametrize(
    ("entry", "signal", "agent"),
    [
        ("meta:noai", OptOut.NOAI, ""),
        ("header:gptbot:none", OptOut.NONE, "gptbot"),
        ("robots.txt:GPTBot", OptOut.ROBOTS_TXT, ""),
        ("robots.txt:no_ai_training", OptOut.NO_AI_TRAINING, ""),
    ],
)
def test_an_entry_of_the_column_names_signal_and_robot(entry: str, signal: OptOut, agent: str) -> None:
    assert (signal_of(entry), agent_of(entry)) == (signal, agent)


def test_hostile_values_take_no_time() -> None:
    assert not refuses_training(["train-ai=" * 100_000, "," * 100_000, "a=" + "y" * 100_000])
    assert read_rights((("x-robots-tag", ":" * 1000 + ", noai" * 100),)).opt_outs == ("header:noai",)
