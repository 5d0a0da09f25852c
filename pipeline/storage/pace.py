"""One pace of requests to a web server for all processes of this machine.

Common Crawl's servers are shared by everybody and answer 403 or 503 to clients that ask too often. Workers that back
off each for itself go on asking as often as they are many. So every request to a web server takes a turn in a file that
all processes share: turns are `INTERVAL` apart, and when one process is refused, all wait.

    FOLDER/SERVER.json    {"next": time of the next turn, "sent": n, "refused": {"503": n}, "waited": seconds}

A machine that cannot write the folder goes without.
"""

from __future__ import annotations

import json
import logging
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pipeline import effects

log = logging.getLogger("gristmill")

INTERVAL = {"index.commoncrawl.org": 1.0, "data.commoncrawl.org": 0.02}  # seconds; of other servers none
_ENDING = ".json"
_LONGEST = 120.0  # seconds that a turn may lie ahead: a damaged file or a wrong clock stops nobody


def take_turn(server: str) -> None:
    """Waits until this machine may send the server another request."""

    def reserve(state: dict[str, Any], now: float) -> float:
        turn = min(max(state["next"], now), now + _LONGEST)
        state["next"] = turn + INTERVAL.get(server, 0.0)
        state["sent"] += 1
        state["waited"] = round(state["waited"] + turn - now, 3)
        return float(turn - now)

    pause = _change(server, reserve)
    if pause > 0:
        effects.sleep(pause)


def report_refusal(server: str, status: str, pause: float) -> None:
    """After a refusal: nobody on this machine asks the server again before the pause is over."""

    def postpone(state: dict[str, Any], now: float) -> float:
        state["next"] = max(state["next"], now + min(pause, _LONGEST))
        state["refused"][status] = state["refused"].get(status, 0) + 1
        return 0.0

    _change(server, postpone)


def read_counts(server: str) -> dict[str, Any]:
    """What this machine has sent and what was refused, since it started."""
    found: dict[str, Any] = {}
    _change(server, lambda state, _: found.update(state) or 0.0)
    return found


@contextmanager
def log_refusals() -> Iterator[None]:
    """Logs, when the block ends, what web servers refused to this machine meanwhile."""
    before = {server: read_counts(server) for server in known_servers()}
    try:
        yield
    finally:
        for server in known_servers():
            if line := describe_refusals(server, before.get(server, {})):
                log.warning("%s", line)


def known_servers() -> list[str]:
    """The web servers that this machine has sent requests to since it started, by the names of their files."""
    try:
        names = (entry.name for entry in effects.list_folder(_folder()))
        return sorted(name.removesuffix(_ENDING) for name in names if name.endswith(_ENDING))
    except OSError:
        return []


def describe_refusals(server: str, before: dict[str, Any]) -> str:
    """One line about the requests since `before`, "" where none was refused."""
    now = read_counts(server)
    refused = {
        status: count - before.get("refused", {}).get(status, 0) for status, count in now.get("refused", {}).items()
    }
    kinds = ", ".join(f"{status} {count:,}" for status, count in sorted(refused.items()) if count)
    sent = now.get("sent", 0) - before.get("sent", 0)
    return f"{server}: {sent:,} requests of this machine, refused and repeated: {kinds}" if kinds else ""


def _change(server: str, change: Callable[[dict[str, Any], float], float]) -> float:
    path = os.path.join(_folder(), re.sub(r"[^a-z0-9.-]", "_", server) + _ENDING)
    try:
        with effects.locked_file(path) as file:
            state = _parse(effects.read_fully(file))
            result = change(state, effects.now())
            file.seek(0)
            file.truncate()
            file.write(json.dumps(state).encode())
            return result
    except OSError:
        return 0.0


def _parse(content: bytes) -> dict[str, Any]:
    """The state in a file; an empty one if it is damaged."""
    try:
        found = json.loads(content or b"{}")
        refused = {str(status): int(count) for status, count in found.get("refused", {}).items()}
        numbers = {"next": float(found.get("next", 0)), "waited": float(found.get("waited", 0))}
        return {**numbers, "sent": int(found.get("sent", 0)), "refused": refused}
    except (ValueError, TypeError, AttributeError, OverflowError):
        return {"next": 0.0, "waited": 0.0, "sent": 0, "refused": {}}


def _folder() -> str:
    return os.path.join(tempfile.gettempdir(), f"gristmill-requests-{os.getuid()}")
