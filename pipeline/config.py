"""The configuration of a run: one TOML table per stage, each declared beside the code that it sets.

    [filter_heuristics.gopher]
    min_words = 80

Only what differs from the defaults needs to be written; a key that no stage knows is refused with its path.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import tomlkit
import tomlkit.items
from pydantic import TypeAdapter, ValidationError, model_validator

import classifiers
import pipeline
from pipeline.deduplication.settings import DeduplicateSettings
from pipeline.page_process.settings import PageProcessSettings
from pipeline.publishing.settings import PublishSettings
from pipeline.reading.units import PrepareSettings
from pipeline.settings import OFF, Settings
from pipeline.stages.block_urls import BlockUrlsSettings
from pipeline.stages.extract_text import ExtractTextSettings
from pipeline.stages.filter_heuristics import FilterHeuristicsSettings
from pipeline.stages.identify_language import IdentifyLanguageSettings
from pipeline.stages.quick_look import QuickLookSettings
from pipeline.stages.read_warc import ReadWarcSettings
from pipeline.stages.score_quality import ScoreQualitySettings
from pipeline.stages.scrub_pii import ScrubPiiSettings
from pipeline.stages.tag_domain import TagDomainSettings


class Config(Settings):
    """Every setting of `gristmill curate`; the field names are the TOML tables."""

    prepare: PrepareSettings = PrepareSettings()
    read_warc: ReadWarcSettings = ReadWarcSettings()
    page_process: PageProcessSettings = PageProcessSettings()
    block_urls: BlockUrlsSettings = BlockUrlsSettings()
    quick_look: QuickLookSettings = QuickLookSettings()
    extract_text: ExtractTextSettings = ExtractTextSettings()
    identify_language: IdentifyLanguageSettings = IdentifyLanguageSettings()
    scrub_pii: ScrubPiiSettings = ScrubPiiSettings()
    filter_heuristics: FilterHeuristicsSettings = FilterHeuristicsSettings()
    score_quality: ScoreQualitySettings = ScoreQualitySettings()
    tag_domain: TagDomainSettings = TagDomainSettings()
    deduplicate: DeduplicateSettings = DeduplicateSettings()
    publish: PublishSettings = PublishSettings()

    @model_validator(mode="after")
    def _quick_look_knows_the_languages(self) -> Self:
        """The quick look foresees what identify_language keeps, unless it has a list of its own (or an empty one)."""
        wanted = self.identify_language.languages
        if wanted and "languages" not in self.quick_look.model_fields_set:
            object.__setattr__(self, "quick_look", self.quick_look.model_copy(update={"languages": wanted}))
        return self

    def __reduce__(self) -> tuple[Callable[[str], Config], tuple[str]]:
        """A worker may have our packages elsewhere: what lies in them travels by the package's name."""
        text = self.model_dump_json()
        for package in (pipeline, classifiers):
            text = text.replace(f'"{_folder(package)}/', f'"<{package.__name__}>/')
        return _arrived, (text,)


def _arrived(text: str) -> Config:
    for package in (pipeline, classifiers):
        text = text.replace(f'"<{package.__name__}>/', f'"{_folder(package)}/')
    return Config.model_validate_json(text)


def _folder(package: ModuleType) -> Path:
    return Path(str(package.__file__)).parent


def load_config(path: Path | None, overrides: Sequence[str] = ()) -> Config:
    """The file's settings (defaults where it is silent), then `table.key=value` overrides, all checked.

    Raises ValueError with one line that names the file or override, the key and what is wrong with it.
    """
    values: dict[str, Any] = {}
    if path is not None:
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ValueError(f"configuration {path}: {error}") from None
    for override in overrides:
        _merge(values, _parse_override(override))
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise ValueError(f"configuration{f' {path}' if path else ''}: {_explain(error)}") from None


def _parse_override(override: str) -> dict[str, Any]:
    key, separator, value = override.partition("=")
    if not separator:
        raise ValueError(f"--set {override}: expected table.key=value")
    for text in (f"{key} = {value}", f"{key} = {json.dumps(value)}"):  # a bare word is a string
        try:
            return tomllib.loads(text)
        except tomllib.TOMLDecodeError:
            continue
    raise ValueError(f"--set {override}: expected table.key=value with a TOML value")


def _merge(into: dict[str, Any], values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def _explain(error: ValidationError) -> str:
    problems = []
    for item in error.errors():
        path = ".".join(str(part) for part in item["loc"])
        wrong = "unknown key" if item["type"] == "extra_forbidden" else item["msg"].removeprefix("Value error, ")
        problems.append(f"{path}: {wrong}" if path else wrong)
    return "; ".join(problems)


def to_toml(config: Config) -> str:
    """Every setting with its meaning, as a file that `load_config` reads."""
    document = tomlkit.document()
    for name in Config.model_fields:
        document.add(name, _table(getattr(config, name)))
    return tomlkit.dumps(document)


def _table(settings: Settings) -> tomlkit.items.Table:
    table = tomlkit.table()
    fields = type(settings).model_fields
    plain = {name for name in fields if not isinstance(getattr(settings, name), Settings)}
    for name in [*(name for name in fields if name in plain), *(name for name in fields if name not in plain)]:
        value = getattr(settings, name)
        if fields[name].description:
            table.add(tomlkit.comment(" ".join(str(fields[name].description).split())))
        if name not in plain:
            table.add(name, _table(value))
        elif value is None and fields[name].default is None:
            table.add(tomlkit.comment(f"{name} is not set"))
        elif value is None:
            table.add(name, OFF)
        else:
            table.add(name, _jsonable(value))
    return table


def _jsonable(value: object) -> Any:
    """Plain values; keys of tables without a value are left out, for TOML has no null."""
    plain = TypeAdapter(Any).dump_python(value, mode="json", exclude_none=True)
    return sorted(plain) if isinstance(value, (set, frozenset)) else plain
