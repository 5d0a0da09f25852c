"""check_rights: signals are recorded, and drop a page where the settings say so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.config import Config, load_config
from pipeline.documents import Document, Dropped, Rights
from pipeline.page_process.chain import Chain
from pipeline.rights.opt_outs import OptOut
from pipeline.stages.check_rights import CheckRightsReason, CheckRightsSettings, build, files, is_listed
from tests.pipeline.warcs import record, write


def document(rights: Rights | None = None, **changes: Any) -> Document:
    values: dict[str, Any] = {
        "id": "a" * 32, "url": "https://a.example/x", "fetched_at": "", "warc_file": "f", "warc_offset": 0,
        "host": "a.example", "registered_domain": "a.example", "title": "A title", "text": "five words of some text",
    }  # fmt: skip
    return Document(**{**values, **changes}, rights=rights or Rights())


def check(found: Document, **settings: Any) -> Document | Dropped:
    return build(CheckRightsSettings(**settings))(found)


@pytest.mark.parametrize(
    ("signal", "reason"),
    [
        (OptOut.NOINDEX, CheckRightsReason.NOINDEX),
        (OptOut.NONE, CheckRightsReason.NONE),
        (OptOut.NOAI, CheckRightsReason.NOAI),
        (OptOut.NOIMAGEAI, CheckRightsReason.NOIMAGEAI),
        (OptOut.TDM_RESERVED, CheckRightsReason.TDM_RESERVED),
        (OptOut.NO_AI_TRAINING, CheckRightsReason.NO_AI_TRAINING),
    ],
)
def test_each_signal_drops_if_it_is_listed_and_is_recorded_if_not(signal: OptOut, reason: CheckRightsReason) -> None:
    page = document(Rights((f"meta:{signal}",)))
    assert check(page, drop=()) == page
    dropped = check(page, drop=(signal,))
    assert isinstance(dropped, Dropped)
    assert (dropped.reason, dropped.value, dropped.detail) == (reason, 5, f"meta:{signal}")


def test_by_default_what_says_no_to_training_drops_and_the_rest_is_recorded() -> None:
    dropped = {signal for signal in OptOut if isinstance(check(document(Rights((f"meta:{signal}",)))), Dropped)} - {
        OptOut.ROBOTS_TXT
    }
    assert dropped == {OptOut.NOAI, OptOut.TDM_RESERVED, OptOut.NO_AI_TRAINING}


def test_the_drop_holds_neither_text_nor_title() -> None:
    chain = Chain(Config())
    dropped = check(document(Rights(("header:noai",))))
    assert isinstance(dropped, Dropped)
    written = chain.prepare_for_ledger(dropped)
    assert isinstance(written.record, Document)
    assert (written.record.text, written.record.title, written.excerpt) == ("", "", "")


def test_a_signal_for_one_robot_counts_only_for_the_agents_of_the_settings() -> None:
    page = document(Rights(("header:examplebot:noai", "header:gptbot:noindex")))
    kept = check(page)
    assert isinstance(kept, Document)
    assert kept.rights.opt_outs == ("header:gptbot:noindex",)
    assert isinstance(check(page, agents=("ExampleBot",)), Dropped)


def test_robots_txt_files_are_read_and_published_with_their_hash(tmp_path: Path) -> None:
    path = tmp_path / "robots.warc.gz"
    write(path, [record(b"User-agent: GPTBot\nDisallow: /no\n", "https://a.example/robots.txt")])
    settings = CheckRightsSettings(robots_files=(path,))
    assert files(settings) == [path]
    kept, dropped = (build(settings)(document(url=f"https://a.example/{name}")) for name in ("yes", "no"))
    assert kept == document(url="https://a.example/yes")
    assert isinstance(dropped, Dropped)
    assert (dropped.reason, dropped.detail) == (CheckRightsReason.ROBOTS_TXT, "robots.txt:GPTBot")
    recorded = check(document(url="https://a.example/no"), robots_files=(path,), drop=())
    assert isinstance(recorded, Document)
    assert recorded.rights.opt_outs == ("robots.txt:GPTBot",)


@pytest.mark.parametrize(
    ("license", "listed"),
    [("CC-BY-4.0", True), ("CC-BY-3.0-DE", True), ("CC0-1.0", True), ("CC-BY-SA-4.0", False), ("CC-BY-NC-4.0", False),
     ("", False)],
)  # fmt: skip
def test_a_license_without_a_version_is_for_all_versions(license: str, listed: bool) -> None:
    assert is_listed(license, ("CC-BY", "CC0-1.0")) is listed


def test_publish_licenses_leaves_only_pages_under_them() -> None:
    settings = load_config(None, ["publish.licenses=['CC-BY', 'CC0']"]).check_rights
    assert settings.licenses == ("CC-BY", "CC0")
    stage = build(settings)
    assert isinstance(stage(document(Rights((), "CC-BY-4.0", "link"))), Document)
    for rights in (Rights(), Rights((), "CC-BY-NC-4.0", "link"), Rights((), "CC-BY-4.0", "link", True)):
        dropped = stage(document(rights))
        assert isinstance(dropped, Dropped)
        assert dropped.reason == CheckRightsReason.LICENSE
