"""The base of every settings class. A setting lives once, beside what it sets; config.py only gathers them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, model_validator

OFF = "off"


class Settings(BaseModel):
    """Frozen; a misspelled key or a value of another type is refused with its path (`filter_heuristics.min_wrods`).

    TOML has no null: a limit that may be None, so that its rule lets everything through, is written "off".
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _switched_off(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        return {name: None if value == OFF else value for name, value in values.items()}

    @model_validator(mode="after")
    def _possible(self) -> Self:
        for name in type(self).model_fields:
            highest = name.replace("min_", "max_", 1)
            low, high = getattr(self, name), getattr(self, highest, None)
            if name.startswith("min_") and low is not None and high is not None and low > high:
                raise ValueError(f"{name} ({low:g}) is above {highest} ({high:g}): nothing could pass")
        return self


class ListFile(Settings):
    """A list or model by path; with `sha256` the file is refused when its bytes are others."""

    path: Path
    sha256: str | None = None
