"""robots.txt of a crawl: matched as RFC 9309 says, by site and by agent."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import UserError
from pipeline.rights.robots_txt import RobotsFiles
from tests.pipeline.warcs import record, write

SITES = {
    "https://no.example": "User-agent: GPTBot\nDisallow: /\n",
    "https://part.example": "User-agent: GPTBot\nDisallow: /private\nAllow: /private/open\n\nUser-agent: *\nAllow: /\n",
    "https://longest.example": "User-agent: *\nAllow: /a/b\nDisallow: /a\nDisallow: /*.pdf$\n",
    "https://star.example": "User-agent: *\nDisallow: /\n\nUser-agent: CCBot\nAllow: /\n",
    "https://usage.example": "User-Agent: *\nAllow: /\nContent-Usage: train-ai=n\nContent-Usage: /free/ train-ai=y\n",
    "https://signal.example": "User-Agent: *\nContent-Signal: search=yes, ai-train=no\nAllow: /\n",
    "https://open.example": "User-agent: *\nDisallow:\n",
}
EXPECTED = [
    ("https://no.example/page", ["robots.txt:GPTBot"]),
    ("http://no.example/page", []),  # another site: no robots.txt of it was seen
    ("https://no.example:8443/page", []),
    ("https://part.example/page", []),
    ("https://part.example/private/x", ["robots.txt:GPTBot"]),
    ("https://part.example/private/open/x", []),
    ("https://longest.example/a/b/c", []),
    ("https://longest.example/a/c", ["robots.txt:GPTBot", "robots.txt:CCBot"]),
    ("https://longest.example/x.pdf", ["robots.txt:GPTBot", "robots.txt:CCBot"]),
    ("https://longest.example/x.pdf?a", []),
    ("https://star.example/", ["robots.txt:GPTBot"]),
    ("https://usage.example/page", ["robots.txt:no_ai_training"]),
    ("https://usage.example/free/page", []),
    ("https://signal.example/page", ["robots.txt:no_ai_training"]),
    ("https://open.example/page", []),
    ("https://unknown.example/", []),
    ("not a url", []),
]


@pytest.fixture
def robots(tmp_path: Path) -> RobotsFiles:
    path = tmp_path / "robots.warc.gz"
    answers = [record(text.encode(), f"{site}/robots.txt") for site, text in SITES.items()]
    refused = b"User-agent: *\nDisallow: /\n"
    answers.append(record(refused, "https://open.example/robots.txt", status="404 Not Found"))
    answers.append(record(refused, "https://open.example/other.txt"))
    write(path, answers)
    return RobotsFiles([path], ["GPTBot", "CCBot"])


@pytest.mark.parametrize(("url", "expected"), EXPECTED)
def test_what_robots_txt_says_of_a_page(robots: RobotsFiles, url: str, expected: list[str]) -> None:
    assert robots.opt_outs(url) == expected


def test_a_file_without_responses_is_refused(tmp_path: Path) -> None:
    (tmp_path / "none.warc").write_bytes(b"not a warc")
    with pytest.raises(UserError, match="holds no response"):
        RobotsFiles([tmp_path / "none.warc"], [])
