"""suppress: pages that were removed on request do not come back, in no later run.

`gristmill remove` writes the suppression list of an output, which its later runs read without being asked. The row of a
suppressed page has neither URL nor text. A removed text is recognized by its word 5-grams once a page's text is known;
the other entries before anything is done with the page.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from pydantic import ConfigDict, Field

from pipeline.documents import Document, Dropped, Page
from pipeline.lists.suppressions import read_suppressions
from pipeline.settings import Settings, read_stored

NAME = "suppress"
SIGNALS: tuple[str, ...] = ()


class SuppressSettings(Settings):
    """Lists of removed pages."""

    lists: tuple[str, ...] = Field(
        (), description="suppression lists of `gristmill remove`; those of the output's folder are added by themselves"
    )


class _WithLists(Settings):
    """The settings of a run, of any version, as far as they are these."""

    model_config = ConfigDict(extra="ignore")

    suppress: SuppressSettings = SuppressSettings()


def stored_lists(settings: object, path: str) -> tuple[str, ...]:
    """The lists in the settings that a file of a run holds. Raises UserError, which names the file."""
    return read_stored(_WithLists, settings, path).suppress.lists


class SuppressReason(StrEnum):
    """There is one: somebody asked."""

    REMOVED = "removed"


REASONS = SuppressReason


def files(settings: SuppressSettings) -> list[str]:
    """The lists."""
    return list(settings.lists)


def build(settings: SuppressSettings) -> Callable[[Page], Page | Dropped]:
    """Read the lists. Raises UserError for one that is missing or damaged."""
    removed = read_suppressions(settings.lists)

    def suppress(page: Page) -> Page | Dropped:
        if removed.entries and removed.find_page(page.url, page.host, page.registered_domain, page.id):
            return drop_removed(page)
        return page

    return suppress


def drop_removed(record: Page | Document) -> Dropped:
    """The drop of a suppressed page; its row holds nothing of it (`ledger.removed_row`)."""
    return Dropped(record, NAME, SuppressReason.REMOVED)
