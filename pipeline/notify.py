"""`--notify-url` and `--notify-command`: tell somebody that a run has ended or raised an alarm.

Both get one JSON object: event (complete, submitted, failed or alarm), output, message and exit_code. The command gets
it on its standard input and is started without a shell. A notification that fails is a warning and changes nothing.
"""

from __future__ import annotations

import json
import logging
import re
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from urllib.request import Request, urlopen

from pipeline import effects
from pipeline.engines.failures import find_failure
from pipeline.errors import UserError
from pipeline.stop import cleanup_at_stop

log = logging.getLogger("gristmill")
SECONDS = 30.0  # that a request or a command may take
# The same while the process is being stopped: container engines kill it after ten, and metrics and lease may take two
# each behind it.
STOP_SECONDS = 5.0


@dataclass(slots=True)
class Notify:
    """Whom to tell, and of which output."""

    url: str | None
    command: str | None
    output: str  # of --snapshot, the folder of all crawls until the name of the crawl is known

    def __post_init__(self) -> None:
        if self.url is not None and not re.fullmatch(r"https?://[^\s/]+(/\S*)?", self.url):
            raise UserError(f"--notify-url {self.url}: expected an http:// or https:// address")
        if self.command is not None and not _split(self.command):
            raise UserError("--notify-command: is empty")

    def send(self, event: str, message: str, exit_code: int) -> None:
        """Tells of one event."""
        body = {"event": event, "output": self.output, "message": message, "exit_code": exit_code}
        content = json.dumps(body, ensure_ascii=False).encode()
        try:
            if self.command is not None:
                self._run(content)
            if self.url is not None:
                _post(self.url, content)
        except (OSError, ValueError, HTTPException, subprocess.SubprocessError) as error:
            log.warning("cannot notify of %s: %s", event, error)

    def _run(self, content: bytes) -> None:
        process = effects.start_process(_split(self.command or ""), stdin=subprocess.PIPE)
        try:
            process.communicate(content, timeout=SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        if process.returncode:
            log.warning("--notify-command ended with exit code %d", process.returncode)


def _post(url: str, content: bytes) -> None:
    wanted = Request(url, content, {"Content-Type": "application/json"})  # noqa: S310 - http or https: see Notify
    effects.perform(effects.Effect.REQUEST, url, lambda: urlopen(wanted, timeout=SECONDS).close())  # noqa: S310


def _split(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError as error:
        raise UserError(f"--notify-command {command}: {error}") from None


@contextmanager
def notify_of_end(notify: Notify) -> Iterator[None]:
    """Tells of the end of the block, whether it succeeds or fails."""
    if notify.url is None and notify.command is None:
        yield
        return
    try:
        with cleanup_at_stop(lambda message, code: notify.send("failed", message, code), STOP_SECONDS):
            yield
    except Exception as error:
        failure = find_failure(error)
        notify.send("failed" if failure.exit_code else "submitted", failure.message, failure.exit_code)
        raise
    notify.send("complete", f"{notify.output} is complete", 0)
