"""One pace of requests for all processes of a machine."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import effects, storage
from pipeline.storage import pace
from tests.conftest import ROOT
from tests.pipeline.servers import serve
from tests.pipeline.simulation.world import World


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))


class Clock(World):
    """Sleeps are noted, and take no time."""

    def perform(self, effect: effects.Effect, subject: str, action: object, torn: object = None) -> object:
        if effect is effects.Effect.SLEEP:
            self.slept = getattr(self, "slept", 0) + 1
            return None
        if effect is effects.Effect.TIME:
            return self.clock
        return action()  # type: ignore[operator]


@pytest.fixture
def clock() -> Iterator[Clock]:
    world = Clock("?", lambda *_: None, clock=1_000_000.0)
    with effects.simulate(world):
        yield world


def waits_of(server: str) -> float:
    return float(pace.read_counts(server).get("waited", 0.0))


def test_turns_are_an_interval_apart_and_a_refusal_stops_everybody(clock: Clock) -> None:
    for _ in range(3):
        pace.take_turn("index.commoncrawl.org")
    assert waits_of("index.commoncrawl.org") == 0 + 1 + 2
    clock.clock += 100
    pace.take_turn("index.commoncrawl.org")
    assert waits_of("index.commoncrawl.org") == 3
    pace.report_refusal("index.commoncrawl.org", "503", 20.0)
    pace.take_turn("index.commoncrawl.org")
    assert waits_of("index.commoncrawl.org") == 23
    pace.take_turn("other.example")
    assert waits_of("other.example") == 0


def test_refusals_are_counted_by_status(clock: Clock) -> None:
    before = pace.read_counts("data.commoncrawl.org")
    assert pace.describe_refusals("data.commoncrawl.org", before) == ""
    for status in ("503", "403", "503"):
        pace.take_turn("data.commoncrawl.org")
        pace.report_refusal("data.commoncrawl.org", status, 1.0)
    line = pace.describe_refusals("data.commoncrawl.org", before)
    assert line == "data.commoncrawl.org: 3 requests of this machine, refused and repeated: 403 1, 503 2"


def test_processes_share_the_turns(tmp_path: Path) -> None:
    code = (
        "import sys, tempfile; tempfile.tempdir = sys.argv[1]\n"
        "from pipeline.storage import pace; pace.INTERVAL['a.example'] = 0.001\n"
        "for _ in range(50): pace.take_turn('a.example')\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "temporary")]
    started = [subprocess.Popen(command, cwd=ROOT) for _ in range(3)]
    assert [process.wait(120) for process in started] == [0, 0, 0]
    assert pace.read_counts("a.example")["sent"] == 150


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"next": "x"}', b'{"next": 1e300}', b"\xff"])
def test_a_damaged_file_stops_nobody(content: bytes, clock: Clock) -> None:
    pace.take_turn("a.example")
    path = Path(pace._folder()) / "a.example.json"
    path.write_bytes(content)
    pace.take_turn("a.example")
    assert waits_of("a.example") <= 120


def test_a_busy_server_is_asked_again_after_the_pause(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "file").write_text("content")
    with serve(tmp_path) as web:
        web.failures = [503, 429]
        with storage.open_binary(f"{web.url}/file", end=7, length=7) as file:
            assert file.read() == b"content"
    found = json.loads(next(Path(pace._folder()).iterdir()).read_text())
    assert found["refused"] == {"503": 1, "429": 1}
    assert found["waited"] > 0


@pytest.mark.parametrize("value", ["7", "Mon, 12 Jan 1970 13:46:47 GMT"])
def test_another_process_waits_as_long_as_a_server_has_asked_this_one(value: str, tmp_path: Path, clock: Clock) -> None:
    """The header of a refusal, in seconds or as a date: 7 s after the time of both processes' clocks."""
    code = (
        "import sys, tempfile; tempfile.tempdir = sys.argv[1]\n"
        "from pipeline import effects, storage\n"
        "from tests.pipeline.storage.test_pace import Clock\n"
        "with effects.simulate(Clock('?', lambda *_: None, clock=1_000_000.0)):\n"
        "    with storage.open_binary(sys.argv[2], end=7, length=7) as file: print(file.read())\n"
    )
    (tmp_path / "file").write_text("content")
    with serve(tmp_path) as web:
        web.failures, web.retry_after = [503], value
        command = [sys.executable, "-c", code, str(tmp_path / "temporary"), f"{web.url}/file"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
        assert (done.stdout, done.returncode) == ("b'content'\n", 0), done.stderr
        (server,) = pace.known_servers()
        assert pace.read_counts(server)["refused"] == {"503": 1}
        assert waits_of(server) == pytest.approx(7)
        pace.take_turn(server)
        assert waits_of(server) == pytest.approx(7 + 7)


def test_refusals_of_every_server_are_logged_at_the_end(
    tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("content")
    with serve(tmp_path) as web:
        web.failures = [503, 503, 429]
        with pace.log_refusals(), storage.open_binary(f"{web.url}/file", end=7, length=7) as file:
            file.read()
    (line,) = [record.getMessage() for record in caplog.records if record.name == "gristmill"]
    assert line.endswith(": 4 requests of this machine, refused and repeated: 429 1, 503 2")
