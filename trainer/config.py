"""TOML configurations: a file or the name of a preset, with single values set from the command line."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import tomlkit
import tomlkit.items
from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from trainer.errors import UserError
from trainer.settings import OFF, Settings, did_you_mean, explain_refusal, find_tables

PRESETS = Path(__file__).parent / "presets"
Config = TypeVar("Config", bound=Settings)


class ConfigError(UserError):
    """A configuration that is refused: which file, which key, why."""


def list_presets() -> list[str]:
    """Names of the configurations that come with the package."""
    return sorted(path.stem for path in PRESETS.glob("*.toml"))


def read_config(kind: type[Config], source: str | None, changes: Sequence[str] = ()) -> Config:
    """Settings from a TOML file or preset, then `table.key=value` changes in turn. Values are TOML, or plain text."""
    values = apply_changes(_read_toml(source) if source else {}, changes)
    return validate_settings(kind, values, source or "of the command line")


def apply_changes(values: dict[str, Any], changes: Sequence[str]) -> dict[str, Any]:
    """The nested values with `table.key=value` changes made in turn."""
    for change in changes:
        _change(values, change)
    return values


def validate_settings(kind: type[Config], values: dict[str, Any], source: str) -> Config:
    """The settings; raises ConfigError with one line that names the source, the key and what is wrong with it."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"configuration {source}: {explain_refusal(kind, error)}") from None


def _read_toml(source: str) -> dict[str, Any]:
    path = Path(source) if source.endswith(".toml") else PRESETS / f"{source}.toml"
    try:
        return parse_toml(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(
            f"configuration {source}: no such file or preset; name a .toml file or one of {', '.join(list_presets())}"
            f"{did_you_mean(source, list_presets())}"
        ) from error
    except OSError as error:
        raise ConfigError(f"configuration {source}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise ConfigError(f"configuration {source}: not TOML ({error})") from error


def parse_toml(text: str) -> dict[str, Any]:
    """The values of a TOML text. Raises ValueError, also for values that are nested too deeply for Python."""
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("its values are nested too deeply") from None


def _change(values: dict[str, Any], change: str) -> None:
    path, equals, text = change.partition("=")
    if not equals or not path:
        raise ConfigError(f"--set {change}: expected table.key=value")
    *tables, key = path.strip().split(".")
    for table in tables:
        if values.get(table) is None:  # also a table that is off
            values[table] = {}
        values = values[table]
        if not isinstance(values, dict):
            raise ConfigError(f"--set {change}: {table} is a value, not a table")
    try:
        values[key] = parse_toml(f"value = {text}")["value"]
    except ValueError as error:
        if text.lstrip().startswith("{"):
            raise ConfigError(f"--set {change}: not a TOML table ({error}); put words in quotes") from None
        values[key] = text.strip()


def to_toml(settings: Settings) -> str:
    """Every setting with its description, as a file that `read_config` reads."""
    document = tomlkit.document()
    _add_settings(document, settings)
    return tomlkit.dumps(document)


def _add_settings(table: tomlkit.TOMLDocument | tomlkit.items.Table, settings: Settings) -> None:
    values = {name: (field, getattr(settings, name)) for name, field in type(settings).model_fields.items()}
    # Plain values come before tables: in TOML, a value below the header of a table belongs to that table.
    for name, (field, value) in sorted(values.items(), key=lambda item: _is_table(item[1][1])):
        if isinstance(value, Settings):
            inner = tomlkit.table()
            _add_comment(inner, field.description or type(value).__doc__)
            _add_settings(inner, value)
            table.add(name, inner)
        else:
            _add_value(table, name, field, value)


def _is_table(value: object) -> bool:
    is_list = isinstance(value, (list, tuple)) and bool(value)
    return isinstance(value[0] if is_list else value, (Settings, Mapping))  # type: ignore[index]


def _add_value(table: tomlkit.TOMLDocument | tomlkit.items.Table, name: str, field: FieldInfo, value: object) -> None:
    default = field.get_default(call_default_factory=True)
    note = "" if value == default or field.is_required() else f" (default {_format_literal(default)})"
    _add_comment(table, f"{field.description or ''}{note}")
    _add_element_comments(table, field)
    if value is None and default is None:
        table.add(tomlkit.comment(f"{name} is not set"))
    else:
        table.add(name, _to_plain(value))


def _add_comment(table: tomlkit.TOMLDocument | tomlkit.items.Table, text: str | None) -> None:
    first = " ".join((text or "").strip().partition("\n\n")[0].split())
    if first:
        table.add(tomlkit.comment(first))


def _add_element_comments(table: tomlkit.TOMLDocument | tomlkit.items.Table, field: FieldInfo) -> None:
    """Describe the settings of the elements of a dictionary or list, since the value may have none."""
    for kind in sorted(find_tables(field.annotation), key=lambda kind: kind.__name__):
        for name, inner in kind.model_fields.items():
            default = inner.get_default(call_default_factory=True)
            note = "" if inner.is_required() else f" (default {_format_literal(default)})"
            table.add(tomlkit.comment(f"  {name}: {inner.description or ''}{note}"))


def _format_literal(value: object) -> str:
    return str(tomlkit.item(_to_plain(value)).as_string())


def _to_plain(value: object) -> Any:
    """Values of TOML, which has no null: None is written as "off", and left out inside a table."""
    if value is None:
        return OFF
    plain = TypeAdapter(Any).dump_python(value, mode="json", exclude_none=True)
    return sorted(plain) if isinstance(value, (set, frozenset)) else plain
