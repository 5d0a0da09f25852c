"""The simulated world: the real files of one place, and a plan of what goes wrong at which call.

Calls elsewhere (models, word lists, sources) pass through. Time is logical: sleeping takes none.

After a kill, every further call fails, so that nothing is cleaned up, as after `kill -9`. After a power failure, what
was not flushed is lost, too: the bytes of files, and the names that a rename gave.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from io import IOBase
from pathlib import Path
from typing import Any

from pipeline.effects import Effect
from pipeline.storage.lease import LEASE_SECONDS


class Killed(BaseException):
    """The process is gone; nothing that it would do afterwards happens."""


class Fault(StrEnum):
    """What may go wrong at one call."""

    FULL = "full"  # ENOSPC
    BROKEN = "broken"  # EIO
    FORBIDDEN = "forbidden"  # EACCES
    TORN = "torn"  # half of it is done, then ENOSPC
    LIE = "lie"  # it is done, and reported as failed
    STALE = "stale"  # the answer to an earlier call
    BUSY = "busy"  # the server answers 503 until its client gives up
    RESET = "reset"  # the connection is cut once, before the request is done
    LOST = "lost"  # the request is done, and the connection is cut before the answer
    NO_PROCESS = "no process"  # EAGAIN: more than the user or the machine may have
    NO_MEMORY = "no memory"  # ENOMEM
    GONE = "gone"  # the process is started, and killed at once
    SHORT = "short"  # half of the answer; the next read of a file goes on behind it
    REPEAT = "repeat"  # it is done twice, and the second answer counts: a retried request, or call to a network disk
    KILL = "kill"  # the process ends before the call
    KILL_TORN = "kill torn"  # in the middle of it
    KILL_AFTER = "kill after"  # right after it
    POWER = "power"  # the machine loses power right after it
    DELAY = "delay"  # the call takes DELAY_SECONDS, in which the lease of the output runs out
    JUMP = "jump"  # the clock is wrong by JUMP_SECONDS, from now on


CODES = {
    Fault.FULL: errno.ENOSPC,
    Fault.TORN: errno.ENOSPC,
    Fault.BROKEN: errno.EIO,
    Fault.FORBIDDEN: errno.EACCES,
    Fault.LIE: errno.EIO,
    Fault.NO_PROCESS: errno.EAGAIN,
    Fault.NO_MEMORY: errno.ENOMEM,
}
_REQUESTS = (Effect.REQUEST, Effect.FIND)
_QUESTIONS = (Effect.LOOK, Effect.LIST, Effect.FIND)
DEATHS = (Fault.KILL, Fault.KILL_AFTER)
FAULTS: dict[Effect, tuple[Fault, ...]] = {
    Effect.LOOK: (Fault.BROKEN, Fault.FORBIDDEN, Fault.STALE),
    Effect.LIST: (Fault.BROKEN, Fault.FORBIDDEN, Fault.STALE),
    Effect.OPEN: (Fault.BROKEN, Fault.FORBIDDEN),
    Effect.READ: (Fault.BROKEN, Fault.KILL, Fault.SHORT),
    Effect.CREATE: (Fault.FULL, Fault.BROKEN, Fault.FORBIDDEN, Fault.REPEAT, *DEATHS, Fault.POWER),
    Effect.WRITE: (Fault.FULL, Fault.BROKEN, Fault.TORN, Fault.KILL_TORN, *DEATHS, Fault.POWER),
    Effect.SYNC: (Fault.FULL, Fault.BROKEN, *DEATHS, Fault.POWER),
    Effect.RENAME: (Fault.FULL, Fault.BROKEN, Fault.LIE, Fault.REPEAT, *DEATHS, Fault.POWER),
    Effect.DELETE: (Fault.BROKEN, Fault.FORBIDDEN, Fault.LIE, Fault.REPEAT, *DEATHS, Fault.POWER),
    Effect.FOLDER: (Fault.FULL, Fault.BROKEN, Fault.FORBIDDEN, *DEATHS, Fault.POWER),
    Effect.REQUEST: (Fault.BUSY, Fault.RESET, Fault.LOST, Fault.SHORT, Fault.REPEAT, Fault.FORBIDDEN, *DEATHS),
    Effect.FIND: (Fault.BUSY, Fault.RESET, Fault.LOST, Fault.FORBIDDEN, Fault.STALE, *DEATHS),
    Effect.TIME: (Fault.JUMP,),
    Effect.START: (Fault.NO_PROCESS, Fault.NO_MEMORY, Fault.GONE, *DEATHS),
    Effect.SLEEP: (),
}
# Any call may take long, but a delay between two writes is that of the call after them.
FAULTS = {
    effect: (*faults, Fault.DELAY) if effect not in (Effect.WRITE, Effect.TIME) else faults
    for effect, faults in FAULTS.items()
}
DELAY_SECONDS = LEASE_SECONDS + 100.0
# A day and more: no number of jumps is near a number of the two days between runs, after which a lease looks new again.
JUMP_SECONDS = 95_000.0
Plan = Callable[[int, Effect, str], Fault | None]  # number of the call, its kind and subject -> what goes wrong


class BusyError(OSError):
    """As the clients of object stores report it."""

    status = 503


@dataclass
class World:
    """Stands between the pipeline and the operating system; see `pipeline.effects.World`."""

    outputs: str  # folder or address of the outputs
    plan: Plan
    after_change: Callable[[], None] = lambda: None  # called when the names of files have changed
    others: tuple[str, ...] = ()  # folders or addresses of the inputs, and the folder of temporary files
    calls: int = 0
    faults: list[tuple[int, Effect, Fault, str]] = field(default_factory=list)
    kinds: Counter[Effect] = field(default_factory=Counter)
    dead: bool = False
    clock: float = field(default_factory=time.time)  # seconds; each look at it takes one
    _busy: bool = False
    _answers: dict[tuple[str, ...], Any] = field(default_factory=dict)
    _unflushed: dict[str, list[tuple[str, bytes | None]]] = field(default_factory=dict)  # renames, by folder
    _unwritten: set[str] = field(default_factory=set)  # files whose bytes are not flushed
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _ours: dict[str, bool] = field(default_factory=dict)  # by subject, of which thousands of calls are about one

    def perform(self, effect: Effect, subject: str, action: Callable[[], Any], torn: Any = None) -> Any:
        with self._lock:
            if self.dead:
                raise Killed
            if effect not in (Effect.TIME, Effect.START, Effect.SLEEP) and not self._belongs(subject):
                return action()
            self.calls += 1
            self.kinds[effect] += 1
            fault = Fault.BUSY if self._busy and effect in _REQUESTS else self.plan(self.calls, effect, subject)
            if fault is None:
                return self._do(effect, subject, action)
            self.faults.append((self.calls, effect, fault, subject))
            return self._with_fault(fault, effect, subject, action, torn)

    def _belongs(self, subject: str) -> bool:
        found = self._ours.get(subject)
        if found is None:
            path = subject if "://" in subject else os.path.abspath(subject)
            roots = tuple(f"{root}/" for root in (self.outputs, *self.others))
            found = self._ours[subject] = f"{path}/".startswith(roots)
        return found

    def _with_fault(self, fault: Fault, effect: Effect, subject: str, action: Any, torn: Any) -> Any:
        if fault is Fault.KILL:
            self._die()
        if fault is Fault.KILL_TORN:
            torn()
            self._die()
        if fault is Fault.TORN:
            torn()
        if fault in CODES and fault is not Fault.LIE:
            raise OSError(CODES[fault], os.strerror(CODES[fault]), subject)
        if fault is Fault.BUSY:
            self._busy = True
            raise BusyError("503 Service Unavailable")
        if fault is Fault.RESET:
            raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
        if fault is Fault.JUMP:
            self.clock += JUMP_SECONDS
        if fault is Fault.DELAY:
            self.clock += DELAY_SECONDS
        if fault is Fault.STALE and (question := _question(action, subject)) in self._answers:
            return _give(self._answers[question])
        if fault is Fault.SHORT and effect is Effect.READ:
            action = torn
        if fault is Fault.REPEAT:
            _discard(self._do(effect, subject, action))
        answer = self._do(effect, subject, action)
        if fault is Fault.LOST:
            raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
        if fault is Fault.LIE:
            raise OSError(CODES[fault], os.strerror(CODES[fault]), subject)
        if fault is Fault.GONE:
            answer.kill()
        if fault is Fault.SHORT and effect is Effect.REQUEST and isinstance(answer, bytes) and answer:
            return answer[: len(answer) // 2]
        if fault is Fault.KILL_AFTER:
            self._die()
        if fault is Fault.POWER:
            self._lose_power()
            self._die()
        return answer

    def _do(self, effect: Effect, subject: str, action: Any) -> Any:
        if effect is Effect.WRITE:
            self._unwritten.add(subject)
            return action()
        self._remember_before(effect, subject)
        if effect is Effect.TIME:
            self.clock += 1.0
            return self.clock
        if effect is Effect.SLEEP:
            return None
        if effect in _QUESTIONS:
            return self._ask(_question(action, subject), action)
        answer = action()
        if effect in (Effect.RENAME, Effect.DELETE, Effect.REQUEST):
            self.after_change()
        return answer

    def _ask(self, question: tuple[str, ...], action: Any) -> Any:
        try:
            self._answers[question] = action()
        except FileNotFoundError as error:
            self._answers[question] = error
        return _give(self._answers[question])

    def _remember_before(self, effect: Effect, subject: str) -> None:
        if effect is Effect.RENAME:
            before = Path(subject).read_bytes() if Path(subject).is_file() else None
            self._unflushed.setdefault(os.path.dirname(subject), []).append((subject, before))
        elif effect is Effect.SYNC:
            self._unflushed.pop(subject, None)
            self._unwritten.discard(subject)

    def _die(self) -> None:
        self.dead = True
        raise Killed

    def _lose_power(self) -> None:
        for path in self._unwritten:
            if os.path.isfile(path):
                os.truncate(path, 0)
        for renames in self._unflushed.values():
            for path, before in reversed(renames):
                if before is None:
                    Path(path).unlink(missing_ok=True)
                else:
                    Path(path).write_bytes(before)


def _give(answer: Any) -> Any:
    """Returns the answer to a question, or raises it."""
    if isinstance(answer, FileNotFoundError):
        raise answer
    return answer


def _discard(answer: Any) -> None:
    """Closes what nobody will: the file of a first answer that is not given."""
    if isinstance(answer, tuple) and isinstance(answer[0], int):  # of `mkstemp`: a repeated call has the same name
        os.close(answer[0])
        os.unlink(answer[1])
    elif isinstance(answer, IOBase):
        answer.close()


def _question(action: Any, subject: str) -> tuple[str, ...]:
    """What is asked about the subject: its size is no answer to whether it exists, nor the first page the second."""
    asked, values = (action.func, action.args) if isinstance(action, partial) else (action, ())
    return getattr(asked, "__qualname__", ""), subject, *(each for each in values if isinstance(each, str))


def at_call(number: int, fault: Fault) -> Plan:
    """This fault at the call with this number.

    None where that call cannot have it: on a slow machine a heartbeat may come between and move the numbers.
    """
    return lambda call, effect, _subject: fault if call == number and fault in FAULTS[effect] else None


def possible_faults(effect: Effect) -> Iterator[Fault]:
    """The faults that a call of this kind may have."""
    yield from FAULTS[effect]
