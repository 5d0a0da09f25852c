"""`gristmill remove`: nothing has the text or URL any more, all else is as it was, and a kill changes nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import effects
from pipeline.errors import LockedError, UserError
from pipeline.inspection.audit import audit_output
from pipeline.ledger import REMOVED
from pipeline.lists.suppressions import FILE, SelectorKind
from pipeline.publishing.content_hash import MODULUS, hash_sums, row_digest
from pipeline.release.receipt import make_receipt
from pipeline.release.remove import Removal, remove
from pipeline.release.selectors import Request, make_request, make_selector
from pipeline.storage.layout import Layout, read_manifest
from pipeline.storage.lease import hold_lease
from tests.conftest import Command
from tests.pipeline.heuristics.good_texts import prose
from tests.pipeline.release.outputs import Page, copy_page, write_output
from tests.pipeline.simulation.world import FAULTS, Fault, Killed, World, at_call

HOSTS = ("www.a.example.org", "b.example.org", "c.example.net")


def texts(count: int) -> list[str]:
    """Texts of which none is contained in another."""
    return [f"Story number {number} of a long list. {prose(6, start=7 * number)}" for number in range(count)]


@st.composite
def datasets(draw: st.DrawFn) -> tuple[list[Page], list[tuple[SelectorKind, str]]]:
    """Pages with some duplicates, and selectors that fit some of them."""
    count = draw(st.integers(2, 9))
    pages: list[Page] = []
    for number, text in enumerate(texts(count)):
        url = f"https://{draw(st.sampled_from(HOSTS))}/{draw(st.sampled_from(['x', 'y']))}/{number}.html"
        pages.append(Page(url, text, dropped=draw(st.booleans()) and number > 0))
    originals = [number for number, page in enumerate(pages) if not page.dropped]
    for extra in range(draw(st.integers(0, 3))):
        host = draw(st.sampled_from(HOSTS))
        pages.append(copy_page(pages, draw(st.sampled_from(originals)), f"https://{host}/copy/{extra}.html"))
    chosen = draw(st.sampled_from(range(len(pages))))
    host = pages[chosen].url.split("/")[2]
    selectors = {
        SelectorKind.URL: pages[chosen].url,
        SelectorKind.PREFIX: f"http://{host}/x/",
        SelectorKind.HOST: host,
        SelectorKind.DOMAIN: ".".join(host.split(".")[-2:]),
        SelectorKind.ID: f"{chosen:032x}",
        SelectorKind.TEXT: pages[chosen].text,
    }
    kinds = draw(st.lists(st.sampled_from(list(SelectorKind)), min_size=1, max_size=2, unique=True))
    return pages, [(kind, selectors[kind]) for kind in kinds]


def fits(number: int, page: Page, selectors: list[tuple[SelectorKind, str]]) -> bool:
    """By the plain meaning of the selectors."""
    return any(_fits(kind, value, number, page) for kind, value in selectors)


def _fits(kind: SelectorKind, value: str, number: int, page: Page) -> bool:
    host = page.url.split("/")[2]
    match kind:
        case SelectorKind.URL:
            return page.url == value
        case SelectorKind.PREFIX:
            return without_scheme(page.url).startswith(without_scheme(value))
        case SelectorKind.HOST:
            return host == value
        case SelectorKind.DOMAIN:
            return host.endswith(f".{value}")
        case SelectorKind.ID:
            return f"{number:032x}" == value
        case _:
            return page.text == value


def without_scheme(url: str) -> str:
    return url.split("://")[1].removeprefix("www.")


def request_for(selectors: list[tuple[SelectorKind, str]]) -> Request:
    return Request(tuple(make_selector(kind, value) for kind, value in selectors))


def rows_of(output: Path, kind: str) -> dict[str, dict[str, Any]]:
    tables = [pq.read_table(path) for path in sorted((output / kind).glob("*.parquet"))]
    return {row["id"] + (row.get("url") or ""): row for table in tables for row in table.to_pylist()}


def all_bytes(output: Path) -> bytes:
    """Every file, the rows of Parquet files as JSON."""
    parts = []
    for path in sorted(output.rglob("*")):
        if path.suffix == ".parquet":
            parts.append(json.dumps(pq.read_table(path).to_pylist(), default=bytes.hex).encode())
        elif path.is_file():
            parts.append(path.read_bytes())
    return b"\n".join(parts)


@settings(max_examples=12)
@given(datasets())
def test_what_fits_is_gone_everywhere_and_all_other_rows_are_equal(
    tmp_path_factory: pytest.TempPathFactory, case: tuple[list[Page], list[tuple[SelectorKind, str]]]
) -> None:
    pages, selectors = case
    output = write_output(tmp_path_factory.mktemp("out"), pages)
    before = {kind: rows_of(output, kind) for kind in ("shards", "drops", "sketches", "duplicates")}
    untouched = {path: path.read_bytes() for path in output.rglob("part-*")}
    found = remove(str(output), request_for(selectors))[str(output)]

    gone = {number for number, page in enumerate(pages) if fits(number, page, selectors)}
    kept = {number for number in gone if not pages[number].dropped and pages[number].copy_of is None}
    gone |= {number for number, page in enumerate(pages) if page.copy_of in kept}
    ids = {f"{number:032x}" for number in gone}
    assert {*found.documents, *found.pages} == ids
    assert set(found.documents) == {f"{number:032x}" for number in kept}

    content = all_bytes(output)
    for number in gone:
        still_kept = any(page.text == pages[number].text for other, page in enumerate(pages) if other not in gone)
        assert pages[number].url.encode() not in content
        assert still_kept or pages[number].text[:60].encode() not in content
    for kind, rows in before.items():
        after = rows_of(output, kind)
        others = {key: row for key, row in rows.items() if row["id"] not in ids}
        assert {key: row for key, row in after.items() if row["id"] not in ids} == others
        left = [row for row in after.values() if row["id"] in ids]
        assert [f"{row['stage']}:{row['reason']}" for row in left] == [REMOVED] * (len(ids) if kind == "drops" else 0)
    parts = {number % 2 for number in gone}
    for path, data in untouched.items():
        assert path.exists() is (int(path.stem.split("-")[1]) not in parts)
        assert not path.exists() or path.read_bytes() == data
    assert [check for check in audit_output(str(output)) if not check.ok] == []
    manifest = read_manifest(Layout(str(output)))
    sums = {kind: sum(map(row_digest, rows_of(output, kind).values())) % MODULUS for kind in ("shards", "drops")}
    assert manifest["content_hash"] == hash_sums(sums) == found.after or not ids


ATTEMPTS = 40  # at most; all calls of this output take ten minutes
PAGES = [
    *(Page(f"https://{HOSTS[n % 3]}/{n}.html", text, dropped=n == 4) for n, text in enumerate(texts(6))),
    Page("https://c.example.net/copy.html", texts(6)[0], copy_of=0),
]
WANTED = [(SelectorKind.DOMAIN, "example.org"), (SelectorKind.TEXT, texts(6)[5])]


def content_of(output: Path) -> dict[str, bytes]:
    files = (path for path in sorted(output.rglob("*")) if path.is_file() and path.name != "run.lock")
    return {str(path.relative_to(output)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_output(tmp_path_factory.mktemp("finished") / "out", PAGES, publish={"jsonl": "gzip"})


def changing_calls(output: Path, effects_of: tuple[str, ...]) -> Iterator[tuple[int, Fault]]:
    """The calls of these kinds, with the ways in which a process may end there."""
    seen: list[Any] = []
    world = World(str(output), lambda number, effect, _: seen.append((number, effect)))
    with effects.simulate(world):
        remove(str(output), request_for(WANTED))
    for number, effect in seen:
        if effect.value in effects_of:
            yield number, Fault.KILL
            if Fault.KILL_TORN in FAULTS[effect]:
                yield number, Fault.KILL_TORN
    yield seen[-1][0], Fault.KILL_AFTER


@pytest.mark.parametrize(
    "effects_of",
    [
        ("rename", "delete"),  # what other processes see changes only here; before a rename its file lies about
        ("create", "write", "rename", "delete"),
    ],
    ids=["visible", "any"],
)
def test_killed_at_any_write_the_same_command_ends_in_the_same_state(
    effects_of: tuple[str, ...], finished: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"  # run.json has absolute paths: every attempt is at the same place
    shutil.copytree(finished, output)
    found = remove(str(output), request_for(WANTED))
    expected, receipt = content_of(output), make_receipt(request_for(WANTED), found, [])
    assert b"example.org" not in b"".join(expected.values()).replace(b"schema.org", b"")
    shutil.rmtree(output)
    shutil.copytree(finished, output)
    calls = list(changing_calls(output, effects_of))
    assert len(calls) > 10
    for number, fault in calls[:: -(-len(calls) // ATTEMPTS)]:
        shutil.rmtree(output)
        shutil.copytree(finished, output)
        with pytest.raises(Killed), effects.simulate(World(str(output), at_call(number, fault))):
            remove(str(output), request_for(WANTED))
        for lock in output.glob("run.lock*"):
            lock.unlink()  # its owner is gone, which a test in one process cannot show
        again = make_receipt(request_for(WANTED), remove(str(output), request_for(WANTED)), [])
        assert (content_of(output), again) == (expected, receipt), (number, fault)


def test_a_second_removal_adds_to_the_first(finished: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    shutil.copytree(finished, output)
    first = remove(str(output), request_for(WANTED[:1]))[str(output)]
    second = remove(str(output), request_for(WANTED[1:]))[str(output)]
    assert (first.after, second.after) == (second.before, read_manifest(Layout(str(output)))["content_hash"])
    assert len(json.loads((output / FILE).read_text())["entries"]) == 2
    assert [check for check in audit_output(str(output)) if not check.ok] == []


def test_copies_takes_the_kept_page_of_another_site_as_well(finished: Path, tmp_path: Path) -> None:
    for copies, documents in ((False, 0), (True, 1)):
        output = tmp_path / f"out{copies}"
        shutil.copytree(finished, output)
        found = remove(str(output), request_for([(SelectorKind.URL, PAGES[6].url)]), copies=copies)[str(output)]
        assert (len(found.documents), len(found.pages)) == (documents, 1)
        assert [check for check in audit_output(str(output)) if not check.ok] == []


def test_the_receipt_holds_no_removed_text_and_its_hashes_are_those_of_the_files(
    finished: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    shutil.copytree(finished, output)
    before = read_manifest(Layout(str(finished)))
    receipt = make_receipt(request_for(WANTED), found := remove(str(output), request_for(WANTED)), [])
    assert texts(6)[5][:40] not in json.dumps(receipt)
    after = read_manifest(Layout(str(output)))
    line = receipt["outputs"][0]
    assert line["content_hash"] == {"before": before["content_hash"], "after": after["content_hash"]}
    for change in line["files"]:
        kind = change["after"]["path"].split("/")[0]
        assert change["before"] in before[kind]
        assert change["after"] in after[kind]
    assert receipt["documents"] == sorted(found[str(output)].documents)
    assert line["found_by"] == {"copy": 1, "domain": 4, "text": 1}


def test_snapshots_lose_a_page_in_all_versions(tmp_path: Path) -> None:
    for name in ("CC-MAIN-2026-43", "CC-MAIN-2026-47"):
        write_output(tmp_path / name, PAGES[:4])
    (tmp_path / "latest.json").write_text(json.dumps({"snapshot": "CC-MAIN-2026-47", "content_hash": "old"}))
    found = remove(str(tmp_path), request_for([(SelectorKind.HOST, HOSTS[2])]))
    assert [len(removal.documents) for removal in found.values()] == [1, 1]
    assert json.loads((tmp_path / "latest.json").read_text())["content_hash"] == list(found.values())[1].after
    assert (tmp_path / FILE).exists()
    assert HOSTS[2].encode() not in all_bytes(tmp_path)


def test_nothing_fits_is_no_error_and_is_honored_all_the_same(finished: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    shutil.copytree(finished, output)
    found = remove(str(output), request_for([(SelectorKind.URL, "https://z.example/")]))[str(output)]
    assert found == Removal(found.request, found.before, found.before)
    assert read_manifest(Layout(str(output)))["files"].keys() >= {f"suppress:out/{FILE}"}


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("text", "only a few words", "needs at least 12 words"),
        ("domain", "www.example.org", "expected a registered domain"),
        ("host", "localhost", "expected a host name"),
        ("id", "123", "32 hexadecimal digits"),
        ("url", "://", "expected a URL"),
    ],
)
def test_a_selector_that_fits_nothing_or_too_much_is_refused(kind: str, value: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_selector(kind, value)


def test_lists_have_one_selector_a_line(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("# asked for in May\ndomain  example.org\n\nhttps://example.net/a b\nid: " + "0" * 32 + "\n")
    found = make_request({}, [str(path)])
    assert [(str(one.kind), one.value) for one in found.selectors] == [
        ("domain", "example.org"), ("id", "0" * 32), ("url", "https://example.net/a b"),
    ]  # fmt: skip
    path.write_text("domain example.org\nsite example.net\n")
    with pytest.raises(UserError, match="line 2: expected one of url, prefix"):
        make_request({}, [str(path)])
    with pytest.raises(UserError, match="name what to remove"):
        make_request({}, [])


def test_a_page_stays_away_in_later_runs_of_the_command(gristmill: Command, tmp_path: Path) -> None:
    crawl = tmp_path / "in"
    crawl.mkdir()
    shutil.copy(Path(__file__).parents[2] / "minicrawl" / "warc" / "minicrawl-00003.warc", crawl)
    curate = ("curate", crawl, "--output", tmp_path / "out", "--workers", 1)
    gristmill(*curate)
    url = next(iter(rows_of(tmp_path / "out", "shards").values()))["url"]
    receipt = ("--receipt", tmp_path / "receipt.json")
    gristmill("remove", tmp_path / "out", "--url", url, *receipt, GRISTMILL_CACHE=str(tmp_path))
    assert json.loads((tmp_path / "receipt.json").read_text())["outputs"][0]["documents"] == 1
    (tmp_path / "mine.json").write_text("[]")
    refused = gristmill("remove", tmp_path / "out", "--url", url, "--receipt", tmp_path / "mine.json", check=False)
    assert refused.returncode == 2
    assert "mine.json: is a file, and no receipt of `gristmill remove`" in refused.stderr
    assert "is complete already" in gristmill(*curate).stderr
    assert "no hit of 1 entries" in gristmill("audit", tmp_path / "out").stdout
    gristmill(*curate, "--overwrite", "--set", "publish.weights.max_repetition=2")
    drops = rows_of(tmp_path / "out", "drops").values()
    assert [f"{row['stage']}:{row['reason']}" for row in drops if row["stage"] == "suppress"] == [REMOVED]
    assert url.encode() not in all_bytes(tmp_path / "out")


def test_a_removal_waits_for_a_run_that_has_taken_its_manifest_back(tmp_path: Path) -> None:
    write_output(tmp_path, [Page(f"https://{HOSTS[0]}/", texts(1)[0])])
    layout = Layout(str(tmp_path))
    Path(layout.manifest).unlink()
    request = request_for([(SelectorKind.HOST, HOSTS[0])])
    with hold_lease(layout.lease), pytest.raises(LockedError, match="held by"):
        remove(str(tmp_path), request)
    with pytest.raises(UserError, match=r"no manifest\.json"):
        remove(str(tmp_path), request)
