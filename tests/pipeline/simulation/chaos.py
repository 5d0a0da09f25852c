"""`python -m tests.pipeline.simulation.chaos`: every call in turn, or random seeds; prints what came of them.

--seeds 1000             seeds 0 to 999, each with up to four disturbed runs and one without faults
--seeds 1 --first 4711   one of them again
--every-call             "the n-th call fails", for the calls of every scenario and every fault that they may have
--only repeat            of these trials those with this fault (may be repeated, as --scenario)
--store gs               outputs in a stand-in of Google's store (s3: of Amazon's) instead of on the disk
"""

from __future__ import annotations

import argparse
import random
import re
import shlex
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.effects import Effect
from tests.pipeline.servers import serve
from tests.pipeline.simulation.crawl import shared_page_process
from tests.pipeline.simulation.scenarios import SCENARIOS, Scenario, Stage, attempt, finish
from tests.pipeline.simulation.stores import open_store
from tests.pipeline.simulation.world import FAULTS, Fault, Killed, Plan, World, at_call

# The part of a name that differs in each run, and in each shuffled message.
_RANDOM = re.compile(r"[a-z0-9_]{8}\.tmp$|(?<=shuffle-)[a-z0-9_]{8}|[0-9a-f]{32}$")
MODULE = "python -m tests.pipeline.simulation.chaos"


class Tally:
    """What was injected, and what came of it."""

    def __init__(self) -> None:
        self.faults: Counter[tuple[Effect, Fault]] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.finished = 0  # runs without faults that ended as they must
        self.known = 0  # states of the disk that had been finished before

    def add(self, outcome: str, world: World) -> None:
        self.outcomes[outcome] += 1
        self.faults.update((effect, fault) for _, effect, fault, _ in world.faults)

    def describe(self) -> str:
        ends = ", ".join(f"{outcome} {count:,}" for outcome, count in self.outcomes.most_common())
        kinds = Counter[Fault]()
        for (_, fault), count in self.faults.items():
            kinds[fault] += count
        faults = ", ".join(f"{fault} {count:,}" for fault, count in kinds.most_common())
        return (
            f"faults injected: {self.faults.total():,} ({faults})\n"
            f"disturbed runs: {self.outcomes.total():,} ({ends})\n"
            f"runs afterwards with the content of an undisturbed one: {self.finished:,}, "
            f"and {self.known:,} from a state of the disk that had been finished before"
        )


class Chaos:
    """Runs scenarios with faults; a state of the disk from which a run has been finished is not finished again."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.tally = Tally()
        self._seen: set[tuple[str, str]] = set()

    def finish(self, scenario: Scenario, order: random.Random) -> None:
        state = scenario.name, self.stage.digest()
        if state in self._seen:
            self.tally.known += 1
            return
        finish(self.stage, scenario, order)
        self._seen.add(state)
        self.tally.finished += 1

    def run_seed(self, seed: int) -> None:
        """Up to four disturbed runs of a scenario, then one without faults."""
        draw = random.Random(seed)
        scenario = draw.choice(list(SCENARIOS.values()))
        calls = self.stage.count_calls(scenario)
        self.stage.reset(scenario.before)
        for _ in range(draw.randint(1, 4)):
            outcome, world = attempt(self.stage, scenario, random_plan(draw, calls), draw)
            self.tally.add(outcome, world)
        self.finish(scenario, draw)

    def run_call(self, scenario: Scenario, number: int, fault: Fault) -> None:
        """One fault at one call, then a run without faults."""
        self.stage.content(scenario)
        self.stage.reset(scenario.before)
        order = random.Random(0)
        outcome, world = attempt(self.stage, scenario, at_call(number, fault), order)
        self.tally.add(outcome, world)
        self.finish(scenario, order)

    def calls(self, scenario: Scenario, *, every: bool = False) -> list[tuple[int, Fault]]:
        """Every call of the scenario with every fault that it may have.

        Of many equal ones (the same call on the same file, or on others that differ in a random name) the first, the
        second and the last, unless `every`.
        """
        seen: list[tuple[Effect, str]] = []
        self.stage.reset(scenario.before)
        world = World(self.stage.store.address, lambda _, effect, subject: seen.append((effect, subject)))
        self.stage.call(scenario.command, world, random.Random(0))
        equal: dict[tuple[Effect, str], list[int]] = {}
        for number, (effect, subject) in enumerate(seen, 1):
            equal.setdefault((effect, _RANDOM.sub("", subject)), []).append(number)
        chosen = {number for numbers in equal.values() for number in (*numbers[:2], numbers[-1])}
        return [
            (number, fault)
            for number, (effect, _) in enumerate(seen, 1)
            if every or number in chosen
            for fault in FAULTS[effect]
        ]


def random_plan(draw: random.Random, calls: int) -> Plan:
    """One of the calls fails, and each after it with a small probability, in any of the ways that it may fail."""
    rate = draw.choice((0.003, 0.01, 0.03, 0.1))
    begin = draw.randrange(calls)
    has_begun = False

    def plan(number: int, effect: Effect, _subject: str) -> Fault | None:
        nonlocal has_begun
        often = 0.05 if effect is Effect.WRITE else 1.0  # four of five calls are writes
        if number < begin or not FAULTS[effect] or (has_begun and draw.random() >= rate * often):
            return None
        has_begun = True
        return draw.choice(FAULTS[effect])

    return plan


@contextmanager
def open_chaos(store: str = "disk") -> Iterator[Chaos]:
    """Chaos in a folder in memory, where there is one, beside a web server, or in the stand-in of a store."""
    memory = Path("/dev/shm")
    with (
        tempfile.TemporaryDirectory(prefix="chaos-", dir=memory if memory.is_dir() else None) as folder,
        shared_page_process(),
        open_store(store, Path(folder, "outputs")) as opened,
        serve(Path(folder, "in")) as web,
    ):
        yield Chaos(Stage(Path(folder), opened, web.url if store == "disk" else ""))


def build_parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--every-call", action="store_true")
    parser.add_argument("--scenario", choices=list(SCENARIOS), action="append")
    parser.add_argument("--only", type=Fault, action="append", help="of --every-call the trials with these faults")
    parser.add_argument("--store", choices=["disk", "gs", "s3"], default="disk")
    parser.add_argument("--all", action="store_true", help="also calls that equal others: thousands of writes")
    parser.add_argument("--call", type=int)
    parser.add_argument("--fault", type=Fault)
    return parser


def main() -> None:
    arguments = build_parser().parse_args()
    failures, stopped = 0, list[bool]()
    began = time.process_time()
    with open_chaos(arguments.store) as chaos:
        # Ctrl-C ends after the trial: within one the command under test would be the one that stops.
        signal.signal(signal.SIGINT, lambda *_: stopped.append(True))
        for done, (repeat, trial) in enumerate(_trials(chaos, arguments)):
            if done and done % 1000 == 0:
                print(f"after {done:,}, {failures} failures\n{chaos.tally.describe()}", flush=True)
            failures += _fails(repeat, trial, verbose=bool(arguments.call or arguments.seeds == 1))
            if stopped:
                print(f"stopped after {done + 1:,}")
                break
    print(chaos.tally.describe())
    print(f"{failures} failures, {time.process_time() - began:.0f} CPU seconds")
    sys.exit(bool(failures))


def command_of_seed(seed: int, store: str = "disk") -> str:
    """What a shell runs to repeat the seed."""
    return f"{MODULE} --store {store} --seeds 1 --first {seed}"


def command_of(scenario: str, number: int, fault: Fault, store: str = "disk") -> str:
    """What a shell runs to repeat one fault at one call; names of scenarios and faults may have spaces."""
    words = ("--store", store, "--scenario", scenario, "--call", str(number), "--fault", fault)
    return f"{MODULE} {shlex.join(words)}"


def _fails(repeat: str, trial: Callable[[], None], *, verbose: bool) -> bool:
    try:
        trial()
    except (Exception, Killed) as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        print(f"FAILED: {type(error).__name__}: {error} ({last.name})\n    {repeat}", flush=True)
        if verbose:
            traceback.print_exception(error)
        return True
    return False


def _trials(chaos: Chaos, arguments: argparse.Namespace) -> Iterator[tuple[str, Callable[[], None]]]:
    for seed in range(arguments.first, arguments.first + arguments.seeds):
        yield command_of_seed(seed, arguments.store), lambda seed=seed: chaos.run_seed(seed)
    for name in arguments.scenario or (SCENARIOS if arguments.every_call else ()):
        scenario = SCENARIOS[name]
        for number, fault in (
            [(arguments.call, arguments.fault)] if arguments.call else chaos.calls(scenario, every=arguments.all)
        ):
            if arguments.only and fault not in arguments.only:
                continue
            repeat = command_of(name, number, fault, arguments.store)
            yield repeat, lambda scenario=scenario, n=number, fault=fault: chaos.run_call(scenario, n, fault)


if __name__ == "__main__":
    main()
