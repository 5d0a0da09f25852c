"""What run.json says of a finished run: its settings, its input and what it depended on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline import storage
from pipeline.config import Config
from pipeline.errors import UserError
from pipeline.publishing.provenance import file_digests, versions
from pipeline.reading.inputs import Input
from pipeline.settings import read_stored
from pipeline.storage.layout import Layout, read_run


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A finished run."""

    layout: Layout
    config: Config
    settings: Mapping[str, Any]  # of `config`, as they are stored
    identity: Mapping[str, Any]
    inputs: tuple[Input, ...]  # with their paths on this machine

    def changes(self) -> tuple[str, ...]:
        """One line for versions, and one for lists and models, that differ from those of the run."""
        current: dict[str, Mapping[str, str]] = {"versions": versions(), "files": file_digests(self.config)}
        found = []
        for kind, values in current.items():
            then = self.identity[kind]
            different = sorted(key for key in {*values, *then} if values.get(key) != then.get(key))
            if different:
                found.append(f"changed since the run: {', '.join(different[:6])}; the replay may differ")
        return tuple(found)


def read_stored_run(output: str) -> StoredRun:
    """Raises UserError for a folder that is no finished run, or one of another version."""
    layout = Layout(output)
    if not storage.exists(layout.manifest):
        raise UserError(f"{output}: no manifest.json; give the --output of a finished `gristmill curate`")
    stored = read_run(layout)
    config = read_stored(Config, stored["settings"], layout.run)
    ranges = {name: tuple(map(tuple, found)) for name, found in stored.get("ranges", {}).items()}
    digests = {name: tuple(found) for name, found in stored.get("digests", {}).items()}
    inputs = (
        Input(name := item["name"], stored["paths"][name], item["bytes"], ranges.get(name, ()), digests.get(name, ()))
        for item in stored["identity"]["inputs"]
    )
    layout = Layout(output, stored["work"])
    return StoredRun(layout, config, stored["settings"], stored["identity"], tuple(inputs))
