"""The base of every settings class of the trainer (the pipeline has its own); config.py reads the files."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, Self, get_args

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

OFF = "off"


class Settings(BaseModel):
    """Frozen. A misspelled key or a value of another type is refused with its path (`data.sequnce_length`).

    TOML has no null: the value "off" is read as None (no limit), and as false for a switch.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _read_off(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        switches = {name for name, field in cls.model_fields.items() if field.annotation is bool}
        off = {name: False if name in switches else None for name, value in values.items() if value == OFF}
        return {**values, **off}

    @model_validator(mode="after")
    def _check_ranges(self) -> Self:
        for name in type(self).model_fields:
            highest = name.replace("min_", "max_", 1)
            low, high = getattr(self, name), getattr(self, highest, None)
            if name.startswith("min_") and low is not None and high is not None and low > high:
                raise ValueError(f"{name} ({low:g}) is above {highest} ({high:g}): nothing could pass")
        return self


def explain_refusal(kind: type[Settings], error: ValidationError) -> str:
    """One line: the path of each refused value of a `kind`, and what is wrong with it."""
    problems = []
    for item in error.errors():
        path, problem = ".".join(map(str, item["loc"])), item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            problem = f"unknown key{_suggest(kind, item['loc'])}"
        elif item["input"] is None and item["loc"]:
            problem = f"must have a value, it cannot be {OFF} ({problem})"
        problems.append(f"{path}: {problem}" if path else problem)
    return "; ".join(problems)


def _suggest(kind: type[Settings], location: tuple[int | str, ...]) -> str:
    *parents, key = location
    tables = {kind}
    for name in parents:  # an index or a key of a dictionary is not a field: the class stays
        fields = [table.model_fields[name] for table in tables if isinstance(name, str) and name in table.model_fields]
        tables = {table for field in fields for table in find_tables(field.annotation)} or tables
    near = difflib.get_close_matches(str(key), [name for table in tables for name in table.model_fields], n=1)
    return f"; did you mean {near[0]}?" if near else ""


def find_tables(annotation: Any) -> set[type[Settings]]:
    """The settings classes that a field's annotation names: X, X | None, dict[str, X], tuple[X, ...]."""
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return {annotation}
    return {table for part in get_args(annotation) for table in find_tables(part)}
