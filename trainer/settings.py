"""The base of every settings class of the trainer. A setting lives once, beside what it sets; config.py gathers."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Frozen; a misspelled key or a value of another type is refused with its path (`data.sequnce`)."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
