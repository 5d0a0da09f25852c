"""TOML configurations: a file or the name of a preset, with single values set from the command line."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from trainer.errors import UserError
from trainer.settings import Settings

PRESETS = Path(__file__).parent / "presets"
Config = TypeVar("Config", bound=Settings)


class ConfigError(UserError):
    """A configuration that is refused: which file, which key, why."""


def presets() -> list[str]:
    """Names of the configurations that come with the package."""
    return sorted(path.stem for path in PRESETS.glob("*.toml"))


def read_config(kind: type[Config], source: str | None, changes: Sequence[str] = ()) -> Config:
    """Settings from a TOML file or preset, then `section.key=value` changes in turn. Values are TOML, or plain text."""
    values = apply_changes(_read_toml(source) if source else {}, changes)
    return validated(kind, values, source or "the command line")


def apply_changes(values: dict[str, Any], changes: Sequence[str]) -> dict[str, Any]:
    """The nested values with `section.key=value` changes made in turn."""
    for change in changes:
        _change(values, change)
    return values


def validated(kind: type[Config], values: dict[str, Any], source: str) -> Config:
    """The settings, or one line a fault with its path."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()]
        raise ConfigError(f"{source}: " + "; ".join(faults)) from error


def _read_toml(source: str) -> dict[str, Any]:
    path = Path(source) if source.endswith(".toml") else PRESETS / f"{source}.toml"
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{source}: no such configuration; a .toml file or one of {', '.join(presets())}") from error
    except ValueError as error:
        raise ConfigError(f"{source}: not TOML ({error})") from error


def _change(values: dict[str, Any], change: str) -> None:
    path, equals, text = change.partition("=")
    if not equals or not path:
        raise ConfigError(f"--set {change}: write it as section.key=value")
    *sections, key = path.strip().split(".")
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise ConfigError(f"--set {change}: {section} is a value, not a section")
    values[key] = _value(text.strip())


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except ValueError:
        return text


def as_toml(settings: Settings) -> str:
    """The settings in full as TOML, as a run keeps them beside its checkpoints."""
    return "\n".join(_lines(settings.model_dump(mode="json", exclude_none=True), ()))


def _lines(values: dict[str, Any], path: tuple[str, ...]) -> list[str]:
    plain = {key: value for key, value in values.items() if not isinstance(value, dict)}
    lines = [f"[{'.'.join(map(_key, path))}]"] if path and plain else []
    lines += [f"{_key(key)} = {_literal(value)}" for key, value in plain.items()]
    for key, value in values.items():
        if isinstance(value, dict):
            lines += ([""] if lines else []) + _lines(value, (*path, key))
    return lines


def _literal(value: Any) -> str:
    """A TOML value; JSON's strings and numbers are TOML's."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(key)} = {_literal(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_literal, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _key(key: str) -> str:
    return key if key.replace("_", "").replace("-", "").isalnum() and key.isascii() else json.dumps(key)
