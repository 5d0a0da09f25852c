"""Settings of the process that runs the page stages: what one page may cost."""

from __future__ import annotations

from pydantic import Field

from pipeline.settings import Settings


class PageProcessSettings(Settings):
    """Limits of the page process. A page that breaks one is dropped by the stage `page_process`."""

    cpu_seconds: float = Field(10.0, gt=0, description="CPU seconds that all page stages together may spend on a page")
    cpu_seconds_per_mb: float = Field(10.0, ge=0, description="further CPU seconds for each megabyte of the page")
    wall_seconds: float = Field(
        300.0, gt=0, description="wall-clock seconds after which a page process that only sleeps is ended"
    )
    memory_bytes: int = Field(
        1_500_000_000,
        gt=100_000_000,
        description="memory of the page process in bytes, beyond what it uses once its models are loaded",
    )
