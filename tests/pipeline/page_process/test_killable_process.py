"""The page process: limits, crashes, retries, errors at the start, threads, and no orphans; with real processes."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipeline.documents import Page
from pipeline.effects import Effect, simulate
from pipeline.engines.failures import find_failure
from pipeline.errors import RunFailedError
from pipeline.page_process.killable_process import KillableWorker, PageLost, PageLostReason, PageProcessError
from pipeline.page_process.settings import PageProcessSettings
from tests.pipeline.page_process import child

ROOT = Path(__file__).parents[3]


def page(content: bytes) -> Page:
    return Page("http://example.org/", "2026-01-01T00:00:00Z", "a.warc.gz", 0, content)


def worker(**limits: float) -> KillableWorker:
    settings = PageProcessSettings.model_validate({"cpu_seconds": 1.0, "wall_seconds": 30.0, **limits})
    return KillableWorker(child.build, ("suffix",), settings)


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def until_gone(pid: int) -> bool:
    for _ in range(300):
        if not alive(pid):
            return True
        time.sleep(0.1)
    return False


def test_answers_come_from_one_child_that_is_built_once() -> None:
    with worker() as pool:
        first, second = pool.run(page(b"one")), pool.run(page(b"two"))
    assert (first[0], second[0]) == ("one suffix", "two suffix")
    assert first[1] == second[1] != os.getpid()


def test_a_page_over_its_cpu_budget_is_lost_and_the_next_one_is_not() -> None:
    with worker(cpu_seconds=0.5, cpu_seconds_per_mb=0.0) as pool:
        lost = pool.run(page(b"spin"))
        assert lost == PageLost(PageLostReason.CPU_BUDGET, 0.5, "more than 0.5 s of CPU time")
        assert pool.run(page(b"after"))[0] == "after suffix"


def test_c_code_that_never_returns_is_ended_too() -> None:
    with worker(cpu_seconds=0.5, cpu_seconds_per_mb=0.0) as pool:
        assert pool.run(page(b"regex")).reason is PageLostReason.CPU_BUDGET


def test_sleeping_costs_no_cpu_budget() -> None:
    with worker(cpu_seconds=0.3, cpu_seconds_per_mb=0.0) as pool:
        assert pool.run(page(b"nap"))[0] == "nap suffix"  # a second of wall time


def test_the_budget_grows_with_the_page() -> None:
    with worker(cpu_seconds=0.25, cpu_seconds_per_mb=1.0) as pool:
        lost = pool.run(page(b"spin" + b" " * 250_000))
    assert lost.cpu_budget == pytest.approx(0.5, abs=0.001)


def test_a_child_that_sleeps_for_ever_is_ended_and_the_page_lost() -> None:
    with worker(wall_seconds=0.5) as pool:
        lost = pool.run(page(b"sleep"))
        assert (lost.reason, lost.detail) == (PageLostReason.CRASHED, "the process slept past the wall limit")


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        (b"kill", "the process was killed by SIGKILL"),
        (b"crash", "the process was killed by SIGSEGV"),
        (b"exit", "the process ended with exit code 3"),
        (b"memory", "out of memory"),
    ],
)
def test_a_page_that_crashes_the_child_twice_is_lost(content: bytes, detail: str) -> None:
    with worker(cpu_seconds=20.0, memory_bytes=300_000_000) as pool:
        assert pool.run(page(content)) == PageLost(PageLostReason.CRASHED, pytest.approx(20.0, abs=0.01), detail)
        assert pool.run(page(b"after"))[0] == "after suffix"


def test_a_retry_that_succeeds_counts(tmp_path: Path) -> None:
    with worker() as pool:
        assert pool.run(page(f"once {tmp_path / 'mark'}".encode()))[0] == "second try suffix"


def test_a_lost_page_is_a_drop_without_a_measurement() -> None:
    source = page(b"x")
    over = PageLost(PageLostReason.CPU_BUDGET, 10.5, "more than 10.5 s of CPU time").as_drop(source)
    assert (over.stage, over.reason, over.value, over.threshold) == ("page_process", "cpu_budget", None, 10.5)
    crashed = PageLost(PageLostReason.CRASHED, 10.5, "killed by SIGKILL").as_drop(source)
    assert (crashed.stage, crashed.reason, crashed.threshold) == ("page_process", "crashed", None)
    assert (crashed.record, crashed.value, crashed.detail) == (source, None, "killed by SIGKILL")


def test_an_exception_loses_the_page_without_a_retry() -> None:
    with worker() as pool:
        lost = pool.run(page(b"raise"))
        assert (lost.reason, lost.detail) == (PageLostReason.CRASHED, "KeyError: 'a bug in a stage'")


def test_an_error_of_the_factory_is_raised_in_the_parent() -> None:
    with pytest.raises(ValueError, match="no model at"):
        KillableWorker(child.raise_error).start()
    with pytest.raises(RuntimeError, match="UnpicklableError: cannot travel"):
        KillableWorker(child.raise_unpicklable).start()


def test_a_child_that_crashes_at_its_start_is_an_error() -> None:
    with pytest.raises(PageProcessError, match=r"could not start: .* SIGKILL"):
        KillableWorker(child.kill_itself).start()


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOMEM])
def test_where_no_process_can_be_started_one_line_says_what_to_do(number: int) -> None:
    class Exhausted:
        def perform(self, effect: Effect, _subject: str, action: Callable[[], Any], _torn: object = None) -> Any:
            if effect is Effect.START:
                raise OSError(number, os.strerror(number))
            return action()

    with simulate(Exhausted()), pytest.raises(PageProcessError) as raised:
        worker().start()
    failure = find_failure(raised.value)
    assert failure.exit_code == RunFailedError.exit_code
    assert failure.message == (
        f"the page process could not start: {os.strerror(number)}; free memory, or allow more processes and open files "
        "(ulimit -u, ulimit -n)"
    )


def test_a_child_is_replaced_after_its_share_of_pages() -> None:
    with KillableWorker(child.build, ("x",), pages_per_child=3) as pool:
        pids = [pool.run(page(b"p"))[1] for _ in range(7)]
    assert [len(set(pids[i : i + 3])) for i in (0, 3, 6)] == [1, 1, 1]
    assert len(set(pids)) == 3


def test_a_child_that_grows_is_replaced() -> None:
    with KillableWorker(child.build, ("x",), PageProcessSettings(memory_bytes=200_000_000)) as pool:
        pids = {pool.run(page(b"leak"))[1] for _ in range(201)}
    assert len(pids) > 1


def test_workers_in_threads_do_not_interfere() -> None:
    def work(name: int) -> list[str]:
        tight = PageProcessSettings(cpu_seconds=0.3, cpu_seconds_per_mb=0.0)
        with KillableWorker(child.build, (str(name),), tight) as pool:
            return [str(pool.run(page(c))) for c in (b"spin", b"kill", b"one")]

    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(work, range(4)))
    for name, (spun, killed, answered) in enumerate(results):
        assert "CPU_BUDGET" in spun
        assert "SIGKILL" in killed
        assert f"one {name}" in answered


def test_close_leaves_no_process() -> None:
    pool = worker()
    pid = pool.run(page(b"one"))[1]
    pool.close()
    assert not psutil.pid_exists(pid)


def test_an_interrupt_leaves_the_worker_usable() -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    former = signal.signal(signal.SIGALRM, interrupt)
    try:
        with worker(cpu_seconds=20.0) as pool:
            pool.start()
            signal.setitimer(signal.ITIMER_REAL, 0.3)
            with pytest.raises(KeyboardInterrupt):
                pool.run(page(b"sleep"))
            assert pool.run(page(b"after"))[0] == "after suffix"
    finally:
        signal.signal(signal.SIGALRM, former)


@pytest.mark.parametrize("content", ["idle", "spin"])
def test_the_child_does_not_outlive_its_parent(content: str) -> None:
    script = f"""
        from pipeline.page_process.killable_process import KillableWorker
        from pipeline.page_process.settings import PageProcessSettings
        from tests.pipeline.page_process.test_killable_process import page
        from tests.pipeline.page_process import child
        pool = KillableWorker(child.build, ("x",), PageProcessSettings(cpu_seconds=2.0))
        print(pool.run(page(b"p"))[1], flush=True)
        if "{content}" == "spin":
            pool.run(page(b"spin"))
        input()
    """
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert alive(child)
    parent.kill()
    parent.communicate()
    assert until_gone(child)


def test_main_is_not_run_again(tmp_path: Path) -> None:
    script = tmp_path / "main.py"
    script.write_text(
        textwrap.dedent("""
        print("main runs")
        from pipeline.page_process.killable_process import KillableWorker
        from tests.pipeline.page_process.test_killable_process import page
        from tests.pipeline.page_process import child
        with KillableWorker(child.build, ("x",)) as pool:
            print(pool.run(page(b"p"))[0])
        """)
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.split("\n") == ["main runs", "p x", ""]
