"""What the simulation runs: commands, the state that they start from, and the content that they must end with."""

from __future__ import annotations

import json
import random
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from pipeline import effects
from pipeline.lists.suppressions import FILE as SUPPRESSIONS
from pipeline.storage import pace
from tests.minicrawl import kept
from tests.pipeline.simulation.checks import (
    BrokenPromiseError,
    are_missing,
    check_complete,
    check_error,
    check_pushed,
    check_reader,
    check_released,
    content_of,
    digest_of,
    is_removing,
)
from tests.pipeline.simulation.crawl import DOCUMENTS, run, write_crawl, write_documents
from tests.pipeline.simulation.plain_engine import plain_engine
from tests.pipeline.simulation.stores import Store
from tests.pipeline.simulation.world import Killed, Plan, World

FIRST, SECOND = "CC-MAIN-2026-43", "CC-MAIN-2026-47"
PUSH = ("push", "out", "pushed")
OTHER = ("--set", "publish.weights.max_repetition=2")
Command = tuple[str, ...]


@dataclass(frozen=True)
class Scenario:
    """Commands beside a mirror of two crawls; those of `before` run before anything goes wrong.

    The mirror is `in`, on the disk, and `remote`, in the store of the outputs, or on a web server if that is a disk.
    """

    name: str
    before: tuple[Command, ...]
    command: Command
    output: str  # the folder that must be complete at the end, "" for a command that only reads
    final: Command = ()  # the command that ends it, where it is another one
    final_output: str = ""  # its folder, where it is another one


def curate(*options: str) -> Command:
    return ("curate", f"in/crawl-data/{FIRST}/warc", "--output", "out", *options)


def snapshot(name: str, mirror: str = "in") -> Command:
    return ("curate", "--snapshot", name, "--mirror", mirror, "--output", "base")


def remove(output: str) -> Command:
    return ("remove", output, "--url", kept.stories()[2].url)


def rerun(setting: str) -> Command:
    return ("rerun", "out", "--output", "again", "--set", setting)


def release(output: str) -> Command:
    return ("release", "out", "--annotations", "--training-summary", "--provenance", "--output", output)


further = ("curate", f"in/crawl-data/{FIRST}/warc/a.warc.gz", "--output", "out")
JSONL = ("--set", "publish.jsonl=gzip")
documents = ("curate", *(f"in/documents/{name}" for name in DOCUMENTS), "--output", "out", *JSONL)
rehydrate = ("rehydrate", "released", "--output", "again", "--source", f"in/crawl-data/{FIRST}/warc")
_ALL = (
    Scenario("curate", (), curate(), "out"),
    Scenario("overwrite", (curate(),), curate("--overwrite", *OTHER), "out"),
    Scenario("back", (curate(), curate("--overwrite", *OTHER)), curate("--overwrite"), "out"),
    Scenario("snapshot", (snapshot(FIRST),), snapshot(SECOND), f"base/{SECOND}"),
    Scenario("report", (curate(),), ("report", "out"), "out", curate()),
    Scenario("status", (curate(),), ("status", "out"), ""),
    Scenario("audit", (curate(),), ("audit", "out"), ""),
    Scenario("remove", (curate(),), remove("out"), "out"),
    Scenario("remove from snapshots", (snapshot(FIRST), snapshot(SECOND)), remove("base"), f"base/{SECOND}"),
    Scenario("push", (curate(),), PUSH, "pushed"),
    Scenario("remote", (), snapshot(SECOND, "remote"), f"base/{SECOND}"),
    Scenario("push again", (curate(), PUSH, remove("out")), PUSH, "pushed"),
    Scenario("further input", (further,), curate(), "out"),
    Scenario("documents", (), documents, "out"),
    Scenario("reweigh", (documents, remove("out")), ("remove", "out", "--reweigh"), "out"),
    Scenario("rerun", (curate(),), rerun("score_quality.min_score=0.01"), "again"),
    Scenario("rerun weights", (curate("--no-keep-work"),), rerun("publish.weights.max_repetition=2"), "again"),
    # An unfinished release is refused: "choose a new folder".
    Scenario("release", (curate(),), release("released"), "released", release("again"), "again"),
    Scenario("rehydrate", (curate(), release("released")), rehydrate, "again", (*rehydrate, "--retry")),
)
SCENARIOS = {scenario.name: scenario for scenario in _ALL}


class Stage:
    """Where scenarios run: inputs on a disk, outputs in a store. The states after first commands are kept.

    `web` is the address of a server of the inputs; without one they are in the store, too.
    """

    def __init__(self, folder: Path, store: Store, web: str = "") -> None:
        self.folder = folder
        self.store = store
        self.remote = web or f"{store.address}/in"
        self.turns = folder / "turns"  # of requests to web servers: those of an earlier run delay the next
        self.days = 0  # between two runs two days pass, in which the lease of a killed one expires
        write_crawl(folder / "in", FIRST)
        write_crawl(folder / "in", SECOND, first=2)
        write_documents(folder / "in" / "documents")
        self.temporary = folder / "temporary"
        self._first = folder / "first"  # what is in the store before the first command
        self._first.mkdir()
        if not web:
            shutil.copytree(folder / "in", self._first / "in")
        self._contents: dict[str, str] = {}
        self._calls: dict[str, int] = {}
        self._states: dict[tuple[Command, ...], Path] = {}

    def reset(self, commands: tuple[Command, ...]) -> None:
        """Outputs as they are after these commands without faults."""
        if commands not in self._states:
            self.store.load(self._first)
            for command in commands:
                self.call(command, World(self.store.address, no_fault), random.Random(0))
            state = self.folder / f"state-{len(self._states)}"
            shutil.copytree(self.store.view(), state)
            self._states[commands] = state
        self.store.load(self._states[commands])
        shutil.rmtree(self.temporary, ignore_errors=True)
        self.temporary.mkdir()

    def content(self, scenario: Scenario) -> str:
        """The content hash of the scenario without faults."""
        if scenario.name not in self._contents:
            self.reset(scenario.before)
            world = World(self.store.address, no_fault)
            self.call(scenario.final or scenario.command, world, random.Random(0))
            self._calls[scenario.name] = world.calls
            output = scenario.final_output or scenario.output
            self._contents[scenario.name] = content_of(self.store.view() / output) if output else ""
        return self._contents[scenario.name]

    def count_calls(self, scenario: Scenario) -> int:
        """How many calls the scenario makes without faults."""
        self.content(scenario)
        return self._calls[scenario.name]

    def call(self, command: Sequence[str], world: World, order: random.Random) -> None:
        """Runs the command in this world."""
        places = {"in": str(self.folder / "in"), "remote": self.remote}
        places |= {name: f"{self.store.address}/{name}" for name in ("out", "base", "pushed", "again", "released")}
        words = [each.split("/") for each in command]
        arguments = ["/".join([places.get(first, first), *rest]) for first, *rest in words]
        self.days += 2
        world.clock += 86_400.0 * self.days
        world.others = (places["in"], places["remote"], str(self.temporary))
        shutil.rmtree(self.turns, ignore_errors=True)
        with (
            patch.object(pace, "_folder", lambda: str(self.turns)),
            patch.object(tempfile, "tempdir", str(self.temporary)),
            plain_engine(order),
            effects.simulate(world),
        ):
            run(*arguments)

    def digest(self) -> str:
        """Of the outputs' state."""
        return digest_of(self.store.view())

    def check_readers(self) -> None:
        """What somebody who reads the outputs at this moment relies on."""
        view = self.store.view()
        for output in ("out", "again", f"base/{FIRST}", f"base/{SECOND}"):
            check_reader(view / output)
        for output in ("released", "again"):
            check_released(view / output)
        check_pushed(view / "pushed")
        latest = view / "base" / "latest.json"
        if latest.exists():
            named = json.loads(latest.read_text())
            found = content_of(view / "base" / named["snapshot"])
            if found != named["content_hash"] and not is_removing(view / "base"):
                raise BrokenPromiseError("latest.json names a content that is not there")


def no_fault(*_: object) -> None:
    """The plan of a world in which nothing goes wrong."""


def attempt(stage: Stage, scenario: Scenario, plan: Plan, order: random.Random) -> tuple[str, World]:
    """Runs the command with faults: "done", "killed", or the class of its error; what it promises is checked.

    "missing": it is done, and lists the documents that it could not have.
    """
    world = World(stage.store.address, plan, stage.check_readers)
    try:
        stage.call(scenario.command, world, order)
    except Killed:
        outcome = "killed"
    except BrokenPromiseError:
        raise
    except Exception as error:
        outcome = "killed" if world.dead else type(error).__name__  # killed: an error in another thread came first
        if outcome != "killed":
            check_error(error, stage.store.address, str(stage.folder), stage.remote, "the page process")
    else:
        outcome = "killed" if world.dead else "done"
    stage.check_readers()
    if outcome == "done" and scenario.output:
        output = stage.store.view() / scenario.output
        found = content_of(output)
        if found != stage.content(scenario) and are_missing(output):
            outcome = "missing"
        elif found != stage.content(scenario):
            raise BrokenPromiseError(f"exit code 0 and the content {found}, without faults {stage.content(scenario)}")
    return outcome, world


def finish(stage: Stage, scenario: Scenario, order: random.Random) -> None:
    """Runs the scenario's last command without faults and checks what it leaves."""
    stage.call(scenario.final or scenario.command, World(stage.store.address, no_fault), order)
    view = stage.store.view()
    if output := scenario.final_output or scenario.output:
        check_complete(view / output, stage.content(scenario))
    if scenario.output.startswith("base/"):
        latest = json.loads((view / "base" / "latest.json").read_text())
        if latest != {"snapshot": SECOND, "content_hash": stage.content(scenario)}:
            raise BrokenPromiseError(f"latest.json says {latest}")
        left = {path.name for path in (view / "base").iterdir()} - {FIRST, SECOND, "latest.json", SUPPRESSIONS}
        if left:
            raise BrokenPromiseError(f"left behind: {sorted(left)}")
