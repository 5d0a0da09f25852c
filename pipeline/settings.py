"""The base of every settings class. Each class is declared beside the code that reads it; config.py collects them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Self, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pipeline.errors import UserError

OFF = "off"
_LISTS = (tuple, list, set, frozenset)
# pydantic's error types, in words that name no class of this code
_PROBLEMS = {
    "missing": "must be given",
    **dict.fromkeys(
        ("model_type", "model_attributes_type", "dict_type", "mapping_type"), "must be a table of settings"
    ),
    **dict.fromkeys(("tuple_type", "list_type", "set_type", "frozen_set_type"), "must be a list, such as a,b"),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "must be a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "must be a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "must be true or false"),
    "string_type": "must be text in quotes",
    "path_type": "must be a path",
    "finite_number": "must be a finite number",
    "greater_than": "must be above {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be below {lt:g}",
    "less_than_equal": "must be at most {le:g}",
    **dict.fromkeys(("enum", "literal_error"), "must be {expected}"),
}


class Settings(BaseModel):
    """Frozen. A misspelled key or a value of another type is refused with its path (`filter_heuristics.min_wrods`).

    TOML has no null: "off" means None (a limit that lets everything through) or, for a Boolean setting, false. A list
    may be one text with commas: a,b.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _read_plain_values(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        fields = {name: cls.model_fields[name].annotation for name in values if name in cls.model_fields}
        return {**values, **{name: _read_plain(values[name], annotation) for name, annotation in fields.items()}}

    @model_validator(mode="after")
    def _check_ranges(self) -> Self:
        for name in type(self).model_fields:
            highest = name.replace("min_", "max_", 1)
            low, high = getattr(self, name), getattr(self, highest, None)
            if name.startswith("min_") and low is not None and high is not None and low > high:
                raise ValueError(f"{name} ({low:g}) is above {highest} ({high:g}): nothing could pass")
        return self


def _read_plain(value: Any, annotation: Any) -> Any:
    """A value of TOML or of the command line as pydantic reads it."""
    if value == OFF:
        return False if annotation is bool else None
    if not _is_list(annotation):
        return value
    if isinstance(value, str):
        inner = value.strip().removeprefix("[").removesuffix("]")
        return [part.strip(" '\"") for part in inner.split(",") if part.strip()]
    return [value] if isinstance(value, (bool, int, float)) else value


def _is_list(annotation: Any) -> bool:
    """Whether a field is a list of any kind, perhaps an optional one."""
    origin = get_origin(annotation)
    if origin in (Union, UnionType, Annotated):
        return any(map(_is_list, get_args(annotation)))
    return origin in _LISTS or annotation in _LISTS


class ListFile(Settings):
    """A list or model by its path; with `sha256` the file is refused when its content has another hash."""

    path: Path = Field(description="the file")
    sha256: str | None = Field(None, description="SHA-256 of the file, 64 hexadecimal digits")

    @model_validator(mode="before")
    @classmethod
    def _read_path(cls, values: Any) -> Any:
        return {"path": values} if isinstance(values, str) else values


AnySettings = TypeVar("AnySettings", bound=Settings)


def explain_refusal(kind: type[Settings], error: ValidationError) -> str:
    """One line: the path of each refused value of a `kind`, and what is wrong with it."""
    problems = []
    for item in error.errors():
        path = ".".join(map(str, item["loc"]))
        if item["type"] == "extra_forbidden":
            problem = f"unknown key{_suggest(kind, item['loc'], item['input'])}"
        elif item["input"] is None and item["loc"]:
            problem = f"must have a value, it cannot be {OFF}"
        else:
            problem = _describe_problem(item)
        problems.append(f"{path}: {problem}" if path else problem)
    return "; ".join(problems)


def read_stored(kind: type[AnySettings], values: object, path: str) -> AnySettings:
    """Settings that a file of a run holds. Raises UserError, which names the file, for those of another version."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{path}: of another version of gristmill ({explain_refusal(kind, error)})") from None


def _describe_problem(item: Any) -> str:
    text, value = _PROBLEMS.get(item["type"]), item["input"]
    if text is None:
        return str(item["msg"]).removeprefix("Value error, ").replace("Input should be", "must be")
    text = text.format(**item.get("ctx", {}))
    if item["type"] == "missing":
        return text
    near = did_you_mean(value, text.split("'")[1::2]) if item["type"] in ("enum", "literal_error") else ""
    shown = repr(value) if isinstance(value, (str, int, float, list, dict)) else str(value)
    return f"{text}, not {shown if len(shown) <= 40 else shown[:40] + '...'}{near}"


def did_you_mean(name: object, names: Iterable[str]) -> str:
    """The end of a message about an unknown name: the nearest known one, if one is near.

    >>> did_you_mean("gamez", ["games", "health"])
    '; did you mean games?'
    """
    near = difflib.get_close_matches(str(name), sorted(names), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _suggest(kind: type[Settings], location: tuple[int | str, ...], value: object) -> str:
    """The nearest key of the same table; else the nearest one of any table, with its path.

    A table is offered only where the value is one.
    """
    *parents, key = location
    is_table = isinstance(value, Mapping)
    tables = {kind}
    for name in parents:  # an index or a key of a dictionary leads to no other class
        fields = [table.model_fields[name] for table in tables if isinstance(name, str) and name in table.model_fields]
        tables = {table for field in fields for table in find_tables(field.annotation)} or tables
    paths: dict[str, list[str]] = {}
    for path in _paths(kind, with_tables=is_table):
        paths.setdefault(path.rpartition(".")[2], []).append(path)
    beside = {path for table in tables for path in _paths(table, with_tables=is_table) if "." not in path}
    if key not in paths and (near := did_you_mean(key, beside)):
        return near
    elsewhere = difflib.get_close_matches(str(key), sorted(paths), n=1)
    return f"; did you mean {' or '.join(paths[elsewhere[0]])}?" if elsewhere else ""


def _paths(kind: type[Settings], above: str = "", *, with_tables: bool) -> Iterator[str]:
    """Every key of a settings class and of the tables in it, by its path."""
    for name, field in kind.model_fields.items():
        found = field.annotation
        table = found if isinstance(found, type) and issubclass(found, Settings) else None
        if with_tables or table is None:
            yield above + name
        if table is not None:
            yield from _paths(table, f"{above}{name}.", with_tables=with_tables)


def find_tables(annotation: Any) -> set[type[Settings]]:
    """The settings classes that a field's annotation names: X, X | None, dict[str, X], tuple[X, ...]."""
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return {annotation}
    return {table for part in get_args(annotation) for table in find_tables(part)}
