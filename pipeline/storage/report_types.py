"""The types of the values inside report.json, as its readers rely on them.

All of them may be missing: a reader that needs one names the file by itself (`JsonObject`).
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from pipeline.storage import DamagedFileError

Counts = dict[str, int]
_Bins = dict[Annotated[str, StringConstraints(pattern=r"^\d+\.\d+$")], int]  # by the lower edge of a score


class _Values(BaseModel):
    model_config = ConfigDict(strict=True)


class _Line(_Values):
    """A line of any ranking, by what it ranks; the name is null where the rows have none."""

    host: str | None = ""
    language: str | None = ""
    license: str | None = ""
    message: str = ""
    opt_out: str = ""
    pages: int = 0
    kept: int = 0
    documents: int = 0
    words: int = 0


class _Domain(_Values):
    domain: str = ""
    documents: int = 0
    words: int = 0
    actual: float = 0.0
    target: float = 0.0
    weighted: float = 0.0
    repetitions: float = 0.0
    capped: float = 0.0


class _Signal(_Values):
    sum: float = 0.0
    documents: int = 0
    dropped_sum: float = 0.0


class _Rights(_Values):
    opt_outs: list[_Line] = []
    hosts: list[_Line] = []
    licenses: list[_Line] = []
    dropped_words: Counts = {}
    license_places: Counts = {}


class _Duplicates(_Values):
    documents: int = 0
    share_lost: float = 0.0
    lines_removed: int = 0
    words_removed: int = 0
    warnings: list[str] = []


class _Rescan(_Values):
    documents: int = 0
    finds: Counts = {}


class _Counts(_Values):
    languages: int = 0
    sites: int = 0
    sites_are_exact: bool = True


class _Run(_Values):
    started: str = ""
    finished: str = ""
    seconds: float = 0.0
    command: str = ""


class _Trends(_Values):
    snapshots: list[str] = []
    series: dict[str, list[float | None]] = {}
    alarms: list[str] = []


class _Input(_Values):
    name: str = ""
    bytes: int = 0


class _Report(_Values):
    dropped: dict[str, Counts] = {}
    failures: list[_Line] = []
    dropped_hosts: list[_Line] = []
    records: Counts = {}
    charset_steps: Counts = {}
    tokens: int | None = None
    languages: list[_Line] = []
    counts: _Counts = _Counts()
    hosts: list[_Line] = []
    quality: _Bins = {}
    education: _Bins = {}
    group_sizes: Counts = {}
    rescan: _Rescan = _Rescan()
    rights: _Rights = _Rights()
    domains: list[_Domain] = []
    duplicates: _Duplicates = _Duplicates()
    signals: dict[str, _Signal] = {}
    cpu_seconds: dict[str, float] = {}
    config: dict[str, Any] = {}
    files: dict[str, str] = {}
    versions: dict[str, str] = {}
    inputs: list[_Input] = []
    removed: Counts = {}
    run: _Run = _Run()
    trends: _Trends = _Trends()
    warnings: list[str] = []


def check_report(report: dict[str, Any], path: str) -> None:
    """Raises DamagedFileError, which names the first wrong value, unless all values have these types."""
    try:
        _Report.model_validate(report)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise DamagedFileError(f"{path}: {place!r} is {str(first['input'])[:40]!r}; the file is damaged") from None
