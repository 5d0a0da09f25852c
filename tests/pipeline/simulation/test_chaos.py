"""Under every fault: the same content, or one named error, and nothing that looks whole but is not.

`make chaos` runs more of the same; a failure prints the command that repeats it.
"""

from __future__ import annotations

import random
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from itertools import count, pairwise
from pathlib import Path
from unittest.mock import patch

import pytest

from pipeline import effects
from pipeline.effects import Effect
from pipeline.storage import atomic_write
from tests.conftest import draw_by_commit, read_commit
from tests.pipeline.simulation.chaos import MODULE, Chaos, build_parser, command_of, command_of_seed, open_chaos
from tests.pipeline.simulation.checks import content_of
from tests.pipeline.simulation.scenarios import SCENARIOS, curate, no_fault
from tests.pipeline.simulation.world import FAULTS, Fault, Killed, World

pytestmark = pytest.mark.timeout(1800)

# The seeds and the calls take about a minute of CPU, a third of it before the first fault.
LEAST_SEEDS = 10  # also where they take longer than --seed-seconds
HIGHEST_SEED = 10**9
# One of so many trials of each scenario; primes, so that all kinds of calls and faults have their turn.
EVERY = {"disk": 251, "gs": 307, "s3": 307}


@pytest.fixture(scope="module")
def chaos() -> Iterator[Chaos]:
    with open_chaos() as opened:
        yield opened


def repeat(trial: Callable[[], None], command: str) -> None:
    try:
        trial()
    except (Exception, Killed) as error:
        pytest.fail(f"{type(error).__name__}: {error}\n    {command}")


def test_the_content_is_that_of_the_real_local_engine(chaos, gristmill, tmp_path):
    stage = chaos.stage
    stage.reset(())
    gristmill(*(each if each != "out" else tmp_path / "out" for each in _of_disk(stage.folder, curate())))
    assert content_of(tmp_path / "out") == stage.content(SCENARIOS["curate"])


def _of_disk(folder: Path, command: tuple[str, ...]) -> list[object]:
    return [folder / each if each.startswith("in/") else each for each in command]


def test_seeds(chaos, request):
    began, seconds = time.process_time(), request.config.getoption("--seed-seconds")
    for done, seed in enumerate(count(first_seed(read_commit()))):
        if done >= LEAST_SEEDS and time.process_time() - began > seconds:
            break
        repeat(lambda seed=seed: chaos.run_seed(seed), command_of_seed(seed))


def first_seed(commit: str) -> int:
    """Each commit tries others, and the same ones again when it is tested again."""
    return draw_by_commit(commit, "seeds of chaos", HIGHEST_SEED)


def test_each_commit_tries_other_seeds():
    commits = [f"{number:040x}" for number in range(100)]
    seeds = sorted(map(first_seed, commits))
    assert seeds == sorted(map(first_seed, commits))
    assert min(later - earlier for earlier, later in pairwise(seeds)) > LEAST_SEEDS


@pytest.mark.parametrize("store", EVERY)
def test_one_call_in_many_fails(store, chaos):
    with nullcontext(chaos) if store == "disk" else open_chaos(store) as opened:
        for place, (name, scenario) in enumerate(SCENARIOS.items()):
            calls = opened.calls(scenario)
            first = 17 * place % min(len(calls), EVERY[store])  # a scenario with few calls has one of them, too
            for number, fault in calls[first :: EVERY[store]]:
                command = command_of(name, number, fault, store)
                repeat(lambda n=number, f=fault, s=scenario, c=opened: c.run_call(s, n, f), command)
        assert opened.tally.finished + opened.tally.known >= len(SCENARIOS)


@pytest.mark.parametrize("fault", FAULTS[Effect.START])
def test_a_page_process_cannot_be_started(chaos, fault):
    chaos.stage.content(SCENARIOS["curate"])
    for number in _calls_of(chaos, Effect.START):
        command = command_of("curate", number, fault)
        repeat(lambda number=number: chaos.run_call(SCENARIOS["curate"], number, fault), command)
    assert chaos.tally.faults[Effect.START, fault]


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_command_of_a_failure_repeats_it(name):
    words = shlex.split(command_of(name, 7, Fault.NO_PROCESS, "gs").removeprefix(MODULE))
    read = build_parser().parse_args(words)
    assert (read.store, read.scenario, read.call, read.fault) == ("gs", [name], 7, Fault.NO_PROCESS)
    read = build_parser().parse_args(shlex.split(command_of_seed(4711, "s3").removeprefix(MODULE)))
    assert (read.store, read.seeds, read.first) == ("s3", 1, 4711)


# --- the simulation finds what is wrong ---


@contextmanager
def _write_in_place(path: str) -> Iterator[object]:
    with atomic_write.effects.create_file(path) as file:
        yield file


@contextmanager
def _rename_unflushed(path: str) -> Iterator[object]:
    effects = atomic_write.effects
    folder, name = path.rsplit("/", 1)
    effects.make_folder(folder)
    file, temporary = effects.create_temporary(folder, f".{name}.", ".tmp")
    with file:
        yield file
    effects.rename(temporary, path)


@pytest.mark.parametrize(
    ("writer", "fault", "kind"),
    [(_write_in_place, Fault.KILL_TORN, Effect.WRITE), (_rename_unflushed, Fault.POWER, Effect.RENAME)],
)
def test_a_careless_writer_is_found(chaos, writer, fault, kind):
    chaos.stage.content(SCENARIOS["curate"])
    numbers = _calls_of(chaos, kind)
    with patch.object(atomic_write, "_write_local", writer):
        assert any(_is_broken(chaos, number, fault) for number in numbers[:: max(1, len(numbers) // 20)])


def _is_broken(chaos: Chaos, number: int, fault: Fault) -> bool:
    try:
        chaos.run_call(SCENARIOS["curate"], number, fault)
    except Exception:  # a broken promise, or a run that cannot be resumed
        return True
    return False


def _calls_of(chaos: Chaos, kind: Effect) -> list[int]:
    seen: list[Effect] = []
    chaos.stage.reset(())
    world = World(chaos.stage.store.address, lambda _number, effect, _subject: seen.append(effect))
    chaos.stage.call(curate(), world, random.Random(0))
    return [number for number, effect in enumerate(seen, 1) if effect is kind]


def test_after_a_power_failure_unflushed_files_are_gone(tmp_path):
    world = World(str(tmp_path), no_fault)
    path = str(tmp_path / "file")
    world.perform(Effect.WRITE, f"{path}.tmp", lambda: Path(f"{path}.tmp").write_bytes(b"new"))
    world.perform(Effect.RENAME, path, lambda: Path(f"{path}.tmp").rename(path))
    world.plan = lambda *_: Fault.POWER
    with pytest.raises(Killed):
        world.perform(Effect.DELETE, f"{path}.other", lambda: None)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(Killed):
        world.perform(Effect.LOOK, path, lambda: None)


def test_a_short_read_is_not_the_end_of_the_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    kinds: list[Effect] = []

    def plan(_number, effect, _subject):
        kinds.append(effect)
        return Fault.SHORT if effect is Effect.READ else None

    with effects.simulate(World(str(tmp_path), plan)), effects.open_file(str(path)) as file:
        assert file.read(4) == b"01"
        assert effects.read_fully(file, 5) == b"23456"
        assert effects.read_fully(file) == b"789"
        assert (file.read(1), effects.read_fully(file, 1)) == (b"", b"")
    assert kinds.count(Effect.READ) > 6


def test_a_repeated_call_gives_its_second_answer(tmp_path):
    places = [str(tmp_path / name) for name in ("first", "second")]
    with effects.simulate(World(str(tmp_path), lambda *_: None)), effects.create_file(places[0]):
        pass
    with effects.simulate(World(str(tmp_path), lambda _number, effect, _: _repeated(effect))):
        with pytest.raises(FileNotFoundError):
            effects.rename(*places)
        effects.delete_file(places[1])
        with pytest.raises(FileExistsError):
            effects.create_file(places[0])
        file, path = effects.create_temporary(str(tmp_path), ".", ".tmp")
        file.close()
        assert len(list(tmp_path.iterdir())) == 2
        assert Path(path).exists()
    assert not Path(places[1]).exists()


def _repeated(effect):
    return Fault.REPEAT if Fault.REPEAT in FAULTS[effect] else None


def test_a_reader_that_takes_a_short_read_for_the_end_is_found(chaos):
    scenario = SCENARIOS["curate"]
    numbers = [number for number, fault in chaos.calls(scenario) if fault is Fault.SHORT]
    for number in numbers[:: len(numbers) // 5]:
        chaos.run_call(scenario, number, Fault.SHORT)
    with patch.object(effects, "read_fully", lambda file, count=-1: file.read(count)):
        assert any(_is_disturbed(chaos, number) for number in numbers)


def _is_disturbed(chaos: Chaos, number: int) -> bool:
    """Whether the run fails, if with a named error, or gives something else."""
    before = chaos.tally.outcomes["done"]
    try:
        chaos.run_call(SCENARIOS["curate"], number, Fault.SHORT)
    except Exception:
        return True
    return chaos.tally.outcomes["done"] == before
