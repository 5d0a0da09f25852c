"""A file of JSON lines that grows batch by batch and survives a kill: what a state beside it vouches for is kept.

OUTPUT.jsonl gets the lines, OUTPUT.jsonl.state.json how many bytes of it are whole, what they were made with (the
fingerprint), and where to go on. A line behind these bytes is cut off when the file is opened again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from trainer.errors import UserError
from trainer.files import check_output_file, explain_writes, holds_keys, write_atomically


class Journal:
    """An open file. `state` is what the last `commit` stored, {} in a new file."""

    def __init__(self, path: Path, fingerprint: dict[str, Any], inputs: Iterable[Path] = ()) -> None:
        self.path, self.fingerprint = path, fingerprint
        self._state_path = path.with_name(f"{path.name}.state.json")
        self.state: dict[str, Any] = {}
        is_ours = holds_keys(self._state_path, "bytes", "fingerprint", "state")
        check_output_file(path, inputs, is_ours=is_ours)
        self._bytes = self._resume() if is_ours else 0

    def _resume(self) -> int:
        stored = json.loads(self._state_path.read_bytes())
        before = stored["fingerprint"]
        changed = sorted(
            key for key in {*before, *self.fingerprint} if before.get(key) != json_value(self.fingerprint.get(key))
        )
        if changed:
            raise UserError(f"{self.path}: was begun with another {', '.join(changed)}; choose another file")
        size = self.path.stat().st_size if self.path.exists() else 0
        if size < stored["bytes"]:
            raise UserError(
                f"{self.path}: lost {stored['bytes'] - size:,} bytes; delete it and {self._state_path.name}"
            )
        if size > stored["bytes"]:
            os.truncate(self.path, stored["bytes"])
        self.state = stored["state"]
        return int(stored["bytes"])

    def lines(self) -> Iterator[Any]:
        """The lines so far."""
        if self._bytes:
            with self.path.open("rb") as file:
                for line in file:
                    yield json.loads(line)

    def commit(self, items: Iterable[Any], state: dict[str, Any]) -> None:
        """Append lines and store the state, both or none."""
        content = "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items).encode()
        with explain_writes(self.path), self.path.open("ab") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        self._bytes += len(content)
        self.state = state
        stored = {"bytes": self._bytes, "fingerprint": self.fingerprint, "state": state}
        write_atomically(self._state_path, json.dumps(stored) + "\n")


def json_value(value: Any) -> Any:
    """The value as it comes back from a file."""
    return json.loads(json.dumps(value))
