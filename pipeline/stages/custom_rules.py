"""custom_rules: one's own filters and scorers, Python functions named by import path (`mypackage.rules:too_short`).

    def too_short(document: Document) -> str | None: ...     # the reason of the drop, or None
    def readability(document: Document) -> float: ...        # stored as the signal `readability`

A function gets the document as it would be published (pipeline/documents.py): text with personal data replaced, URL,
language, scores, signals. It runs in the page process, so the limits of `page_process` hold for it. Its result must
depend on the document alone. Scorers run first, and filters see their signals.

The hash of the source of each function's module (of its whole package, if it is in one) is published with the dataset.
Modules that it imports from elsewhere are not in the hash.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from pipeline.documents import Document, Dropped
from pipeline.errors import UserError
from pipeline.settings import Settings, did_you_mean

NAME = "custom_rules"
SIGNALS: tuple[str, ...] = ()  # those of the scorers: `scorer_signals`
_PATH = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*", re.ASCII)
_REASON = re.compile(r"[a-z0-9][a-z0-9_.-]{0,59}", re.ASCII)

Rule = Callable[[Document], Any]


class CustomRulesSettings(Settings):
    """Functions of your own."""

    filters: tuple[str, ...] = Field(
        (),
        description='functions, as "module:function", that return why a document is dropped (letters, digits, _ . -)'
        " or None",
    )
    scorers: tuple[str, ...] = Field(
        (), description='functions, as "module:function", whose number is stored as the signal of the function\'s name'
    )
    folder: Path | None = Field(
        None,
        description="folder in which modules are looked for first; off: only installed ones. A cluster's workers need"
        " it at the same path",
    )

    @field_validator("filters", "scorers")
    @classmethod
    def _check_paths(cls, paths: tuple[str, ...]) -> tuple[str, ...]:
        for path in paths:
            if not _PATH.fullmatch(path):
                raise ValueError(
                    f'{path!r} is no import path; write "module:function", such as "mypackage.rules:too_short"'
                )
        names = [signal_of(path) for path in paths]
        double = next((name for name in names if names.count(name) > 1), None)
        if double:
            raise ValueError(f"two functions are named {double}; rename one")
        return paths

    @field_validator("folder")
    @classmethod
    def _make_absolute(cls, folder: Path | None) -> Path | None:
        return folder and Path.cwd() / folder.expanduser()


class CustomRulesReason(StrEnum):
    """The one reason that is not given by a function."""

    FAILED = "failed"  # a function raised an exception, or returned something else than it should


REASONS = CustomRulesReason


def signal_of(path: str) -> str:
    """The signal of a scorer: the function's name.

    >>> signal_of("mypackage.rules:Reading.ease")
    'Reading_ease'
    """
    return path.partition(":")[2].replace(".", "_")


def scorer_signals(settings: CustomRulesSettings) -> tuple[str, ...]:
    """The signals that the scorers add to a document."""
    return tuple(map(signal_of, settings.scorers))


def files(settings: CustomRulesSettings) -> list[Path]:
    """None: the sources have digests of their own, by import path (`source_files`)."""
    return []


def build(settings: CustomRulesSettings) -> Callable[[Document], Document | Dropped]:
    """Import the functions. Raises UserError for one that cannot be imported."""
    scorers = {path: _import_rule(path, settings.folder) for path in settings.scorers}
    filters = {path: _import_rule(path, settings.folder) for path in settings.filters}

    def custom_rules(document: Document) -> Document | Dropped:
        for path, scorer in scorers.items():
            try:
                document = document.with_signals(**{signal_of(path): _check_score(scorer(document))})
            except Exception as error:
                return _fail(document, path, error)
        for path, find_reason in filters.items():
            try:
                reason = _check_reason(find_reason(document))
            except Exception as error:
                return _fail(document, path, error)
            if reason is not None:
                return Dropped(document, NAME, reason, detail=path)
        return document

    return custom_rules


def _fail(document: Document, path: str, error: Exception) -> Dropped:
    if isinstance(error, MemoryError):
        raise error  # it ends the page process, and the page is tried once more in a new one
    return Dropped(document, NAME, CustomRulesReason.FAILED, detail=f"{path}: {type(error).__name__}: {error}"[:500])


def _check_score(score: Any) -> float:
    number = float(score)
    if not math.isfinite(number):
        raise ValueError(f"returned {number}; a scorer returns a finite number")
    return number


def is_reason(reason: Any) -> bool:
    """Whether a filter may return this as the reason of a drop."""
    return isinstance(reason, str) and bool(_REASON.fullmatch(reason)) and reason != CustomRulesReason.FAILED


def _check_reason(reason: Any) -> str | None:
    if reason is None:
        return None
    if not is_reason(reason):
        raise ValueError(
            f"returned {reason!r:.60}; a filter returns None or a reason: at most 60 lower-case letters, digits, _ . -"
        )
    return str(reason)


# --- import ---


def _import_rule(path: str, folder: Path | None) -> Rule:
    module_name, _, attribute = path.partition(":")
    _add_folder(folder)
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(f"{error.name}.")):
            raise UserError(_not_found(path, folder)) from None
        raise UserError(f"custom_rules: {path}: the module needs {error.name}, which is not installed") from None
    except Exception as error:
        raise UserError(f"custom_rules: {path}: the import failed: {type(error).__name__}: {error}") from error
    for name in attribute.split("."):
        if not hasattr(found, name):
            hint = did_you_mean(name, [other for other in vars(found) if not other.startswith("_")])
            raise UserError(f"custom_rules: {path}: there is no {name}{hint}")
        found = getattr(found, name)
    if not callable(found):
        raise UserError(f"custom_rules: {path}: a {type(found).__name__}, not a function")
    rule: Rule = found
    return rule


def _not_found(path: str, folder: Path | None) -> str:
    where = f"neither in {folder} nor installed" if folder else "not installed; name its folder"
    how = "" if folder else " by --set custom_rules.folder=FOLDER"
    return f"custom_rules: {path}: the module is {where}{how}"


def _add_folder(folder: Path | None) -> None:
    if folder and str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
        importlib.invalidate_caches()


def source_roots(settings: CustomRulesSettings) -> Iterator[tuple[str, Path, bool]]:
    """(import path, source, whether it is a folder) of every function: its module's file, or its whole package."""
    _add_folder(settings.folder)
    for path in (*settings.scorers, *settings.filters):
        top = path.partition(":")[0].partition(".")[0]
        spec = None
        with suppress(ImportError, ValueError):
            spec = importlib.util.find_spec(top)
        if spec is None:
            raise UserError(_not_found(path, settings.folder))
        for root in spec.submodule_search_locations or ():
            yield path, Path(root), True
        if not spec.submodule_search_locations and spec.origin and spec.has_location:
            yield path, Path(spec.origin), False
