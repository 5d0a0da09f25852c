"""What a page stage is: the function that runs on every page, and the module that builds it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from pipeline.documents import Document, Dropped, Page
from pipeline.extraction.parsed_page import ParsedPage

Record = Page | ParsedPage | Document  # a page on its way through the stages
Stage = Callable[[Any], Record | Dropped]  # its input type is listed in pipeline/documents.py


class StageModule(Protocol):
    """A module of this folder that `order.PAGE_STAGES` lists.

    It also declares the settings class of its TOML table: NAME in CamelCase, then `Settings`.
    """

    @property
    def NAME(self) -> str:  # noqa: N802 - a constant of the module
        """The module's name, its TOML table and the stage of its drops."""

    @property
    def REASONS(self) -> type[StrEnum]:  # noqa: N802 - a constant of the module
        """Every reason for which it drops a page."""

    @property
    def SIGNALS(self) -> tuple[str, ...]:  # noqa: N802 - a constant of the module
        """Every measurement that it adds to `Document.signals`."""

    def files(self, settings: Any, /) -> Sequence[Path | str]:
        """The lists and models that it reads with these settings; their digests are published with the dataset."""

    def build(self, settings: Any, /) -> Stage:
        """Load them and return the stage. Raises UserError if one cannot be used."""
