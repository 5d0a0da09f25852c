"""Presets: settings files by name, in this folder. Each begins with comments on its sources and on what differs."""

from __future__ import annotations

from pathlib import Path

from pipeline import effects
from pipeline.errors import UserError
from pipeline.settings import did_you_mean

FOLDER = Path(__file__).parent


def preset_names() -> list[str]:
    """The names, sorted."""
    return [Path(path).stem for path in effects.find_files(str(FOLDER), ".toml")]


def read_preset(name: str) -> str:
    """The TOML text of a preset. Raises UserError for an unknown name."""
    if name not in preset_names():
        hint = did_you_mean(name, preset_names())
        raise UserError(f"no preset {name!r}{hint}; there are {', '.join(preset_names())}")
    return effects.read_file(str(FOLDER / f"{name}.toml")).decode()


def read_comment(name: str) -> str:
    """The comments at the beginning of a preset: its sources, and what cannot be the same."""
    lines = read_preset(name).splitlines(keepends=True)
    end = next((number for number, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return "".join(lines[:end])
