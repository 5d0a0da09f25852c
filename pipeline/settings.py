"""The base of every settings class. A setting lives once, beside what it sets; config.py only gathers them."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Frozen; a misspelt key or a value of another type is refused with its path (`filter_heuristics.min_wrods`)."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, allow_inf_nan=False)


class ListFile(Settings):
    """A list or model by path; with `sha256` the file is refused when its bytes are others."""

    path: Path
    sha256: str | None = None
