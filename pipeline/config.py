"""The configuration of a run: one TOML table per stage, each declared beside the code that it sets.

    [filter_heuristics.gopher]
    min_words = 80

A file needs to hold only what differs from the defaults; an unknown key is refused with its path.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import tomlkit
import tomlkit.items
from pydantic import TypeAdapter, ValidationError, model_validator
from pydantic.fields import FieldInfo

import classifiers
import pipeline
from classifiers.artifacts import MANIFEST, default_folder
from classifiers.domain_labels import UNKNOWN
from pipeline import effects, storage
from pipeline.deduplication.settings import DeduplicateSettings
from pipeline.errors import UserError
from pipeline.page_process.settings import PageProcessSettings
from pipeline.presets import read_preset
from pipeline.publishing.settings import PublishSettings
from pipeline.reading.units import PrepareSettings
from pipeline.rights.licenses import LICENSES, without_version
from pipeline.settings import OFF, Settings, did_you_mean, explain_refusal
from pipeline.stages.block_urls import BlockUrlsSettings
from pipeline.stages.check_rights import CheckRightsSettings
from pipeline.stages.custom_rules import CustomRulesSettings, scorer_signals
from pipeline.stages.decontaminate import DecontaminateSettings
from pipeline.stages.extract_text import ExtractTextSettings
from pipeline.stages.filter_heuristics import FilterHeuristicsSettings
from pipeline.stages.identify_language import IdentifyLanguageSettings, uses_shipped_model
from pipeline.stages.order import signal_names
from pipeline.stages.quick_look import QuickLookSettings
from pipeline.stages.read_documents import ReadDocumentsSettings
from pipeline.stages.read_warc import ReadWarcSettings
from pipeline.stages.score_quality import ScoreQualitySettings
from pipeline.stages.scrub_pii import ScrubPiiSettings
from pipeline.stages.suppress import SuppressSettings
from pipeline.stages.tag_domain import TagDomainSettings


class Config(Settings):
    """Every setting of `gristmill curate`; the field names are the TOML tables."""

    prepare: PrepareSettings = PrepareSettings()
    read_warc: ReadWarcSettings = ReadWarcSettings()
    read_documents: ReadDocumentsSettings = ReadDocumentsSettings()
    page_process: PageProcessSettings = PageProcessSettings()
    suppress: SuppressSettings = SuppressSettings()
    block_urls: BlockUrlsSettings = BlockUrlsSettings()
    quick_look: QuickLookSettings = QuickLookSettings()
    extract_text: ExtractTextSettings = ExtractTextSettings()
    check_rights: CheckRightsSettings = CheckRightsSettings()
    identify_language: IdentifyLanguageSettings = IdentifyLanguageSettings()
    scrub_pii: ScrubPiiSettings = ScrubPiiSettings()
    filter_heuristics: FilterHeuristicsSettings = FilterHeuristicsSettings()
    decontaminate: DecontaminateSettings = DecontaminateSettings()
    score_quality: ScoreQualitySettings = ScoreQualitySettings()
    tag_domain: TagDomainSettings = TagDomainSettings()
    custom_rules: CustomRulesSettings = CustomRulesSettings()
    deduplicate: DeduplicateSettings = DeduplicateSettings()
    publish: PublishSettings = PublishSettings()

    @model_validator(mode="after")
    def _copy_languages_to_quick_look(self) -> Self:
        """quick_look drops what identify_language would drop, unless it has a list of its own (or an empty one)."""
        wanted = _languages_for_quick_look(self.identify_language)
        if wanted and "languages" not in self.quick_look.model_fields_set:
            object.__setattr__(self, "quick_look", self.quick_look.model_copy(update={"languages": wanted}))
        return self

    @model_validator(mode="after")
    def _copy_licenses_to_check_rights(self) -> Self:
        """Which licenses are published is decided before deduplication, so that no licensed copy is lost."""
        wanted = self.publish.licenses
        if wanted and "licenses" not in self.check_rights.model_fields_set:
            object.__setattr__(self, "check_rights", self.check_rights.model_copy(update={"licenses": wanted}))
        return self

    @model_validator(mode="after")
    def _check_signals(self) -> Self:
        taken = sorted({*scorer_signals(self.custom_rules)} & {*signal_names()})
        if taken:
            raise ValueError(f"custom_rules.scorers: {taken[0]} is the name of a signal already; rename the function")
        return self

    def __reduce__(self) -> tuple[Callable[[str], Config], tuple[str]]:
        """Pickle as JSON in which paths of shipped lists and models are relative to their package.

        A Beam worker may have the packages in another folder than the launcher that sends it the configuration.
        """
        return read_portable_json, (to_portable_json(self),)


def _languages_for_quick_look(settings: IdentifyLanguageSettings) -> tuple[str, ...]:
    """None where another model than quick_look's own decides: what lid.176 does not know would be dropped by it."""
    return settings.languages if uses_shipped_model(settings) else ()


def to_portable_json(config: Config) -> str:
    """The configuration with paths of shipped lists and models relative to their package."""
    text = config.model_dump_json()
    for package in (pipeline, classifiers):
        text = text.replace(f'"{_folder(package)}/', f'"<{package.__name__}>/')
    return text


def read_portable_json(text: str, overrides: Sequence[str] = ()) -> Config:
    """The configuration with the paths that these files have on this machine, and `table.key=value` overrides.

    Raises UserError for an override that cannot be read, ValidationError for values that are refused.
    """
    for package in (pipeline, classifiers):
        text = text.replace(f'"<{package.__name__}>/', f'"{_folder(package)}/')
    if not overrides:
        return Config.model_validate_json(text)
    values: dict[str, Any] = json.loads(text)
    for override in overrides:
        _merge(values, _parse_override(override))
    return Config.model_validate(values)


def _folder(package: ModuleType) -> Path:
    return Path(str(package.__file__)).parent


def load_config(
    path: Path | None,
    overrides: Sequence[str] = (),
    preset: str | None = None,
    base: Mapping[str, Any] | None = None,
) -> Config:
    """The preset's settings, then the file's, then `table.key=value` overrides, all checked; defaults for the rest.

    `base` are the settings of an earlier run, as run.json has them, in place of a preset.

    Raises UserError with one line that names the file or override, the key and what is wrong with it; StorageError for
    a file that cannot be read.
    """
    values: dict[str, Any] = tomllib.loads(read_preset(preset)) if preset else _settings_given(base or {})
    if path is not None:
        content = storage.read_named(path, "configuration")
        try:
            _merge(values, parse_toml(content.decode()))
        except ValueError as error:
            raise UserError(f"configuration {path}: {error}") from None
    for override in overrides:
        _merge(values, _parse_override(override))
    where = f"configuration {path}" if path else "configuration"
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{where}: {explain_refusal(Config, error)}") from None
    unknown = next(_unknown_names(config), None)
    if unknown:
        raise UserError(f"{where}: {unknown}")
    return config


def _settings_given(stored: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a run that are not the defaults, as if they were given again.

    Defaults are left out: a whole number as the default of a real one would become another value (50, 50.0). The
    lists that one stage has taken over from another table are left out, too.
    """
    given = _without_defaults(stored, Config().model_dump(mode="json"))
    own_identifier = {"engine", "model"} & given.get("identify_language", {}).keys()
    for stage, name, source in (
        ("quick_look", "languages", "identify_language"),
        ("check_rights", "licenses", "publish"),
    ):
        own, wanted = (stored.get(table, {}).get(name) for table in (stage, source))
        given.setdefault(stage, {}).pop(name, None)
        taken_over = own == wanted or (stage == "quick_look" and not own and own_identifier)
        if not taken_over:
            given[stage][name] = own
    return given


def _without_defaults(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        default = defaults.get(name)
        if isinstance(value, Mapping) and isinstance(default, Mapping):
            found |= {name: inner} if (inner := _without_defaults(value, default)) else {}
        elif name not in defaults or value != default:
            found[name] = value
    return found


def _unknown_names(config: Config) -> Iterator[str]:
    """Languages, domains and licenses in the settings that no page can have: they would select nothing, silently."""
    languages = _labels(default_folder("language"), "language")
    quick_look = set(config.quick_look.languages).difference(_languages_for_quick_look(config.identify_language))
    topics = _labels(config.tag_domain.model, "topic")
    given_shares = config.publish.weights.shares.keys() - PublishSettings().weights.shares.keys()
    for key, names, known in (
        ("quick_look.languages", quick_look, languages),
        ("tag_domain.drop", config.tag_domain.drop, topics),
        ("publish.weights.shares", given_shares, topics),
    ):
        for name in sorted(names) if known else ():
            if name not in known:
                kind = "language" if known is languages else "domain"
                yield f"{key}: the model knows no {kind} {name!r}{did_you_mean(name, known)}"
    published, kept = config.publish.licenses, config.check_rights.licenses  # equal where one of them was given
    for key, listed in (("publish.licenses", published), ("check_rights.licenses", kept)):
        for name in (name for name in listed if without_version(name) not in LICENSES):
            near = did_you_mean(without_version(name.upper().replace(" ", "-")), LICENSES)
            hint = near or f"; choose from {', '.join(sorted(LICENSES))}"
            yield f"{key}: no page can have the license {name!r}{hint}"


def _labels(model: Path, head: str) -> frozenset[str]:
    """The labels of a model folder, and `unknown`; empty where the folder cannot be read, which is reported later."""
    try:
        labels = json.loads(effects.read_file(str(model / MANIFEST)))["labels"][head]
        return frozenset({*map(str, labels), UNKNOWN})
    except (OSError, ValueError, KeyError, TypeError):
        return frozenset()


def parse_toml(text: str) -> dict[str, Any]:
    """The values of a TOML text. Raises ValueError, also for values that are nested too deeply for Python."""
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("its values are nested too deeply") from None


def _parse_override(override: str) -> dict[str, Any]:
    key, separator, value = override.partition("=")
    if not separator:
        raise UserError(f"--set {override}: expected table.key=value")
    for text in (f"{key} = {value}", f"{key} = {json.dumps(value)}"):  # a bare word is a string
        try:
            return parse_toml(text)
        except ValueError as error:
            if value.lstrip().startswith("{"):
                raise UserError(f"--set {override}: not a TOML table ({error}); put words in quotes") from None
    raise UserError(f"--set {override}: expected table.key=value with a TOML value")


def _merge(into: dict[str, Any], values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def to_toml(settings: Settings) -> str:
    """Every setting with its description, as a file that `load_config` reads."""
    document = tomlkit.document()
    _add_settings(document, settings)
    return tomlkit.dumps(document)


def _add_settings(table: tomlkit.TOMLDocument | tomlkit.items.Table, settings: Settings) -> None:
    values = {name: (field, getattr(settings, name)) for name, field in type(settings).model_fields.items()}
    # Tables after plain values: TOML has no end of a table, and a value below one would belong to it.
    for name, (field, value) in sorted(values.items(), key=lambda item: _is_table(item[1][1])):
        if isinstance(value, Settings):
            inner = tomlkit.table()
            _add_comment(inner, field.description or type(value).__doc__)
            _add_settings(inner, value)
            table.add(name, inner)
        else:
            _add_value(table, name, field, value)


def _is_table(value: object) -> bool:
    is_list = isinstance(value, (list, tuple)) and bool(value)
    return isinstance(value[0] if is_list else value, (Settings, Mapping))  # type: ignore[index]


def _add_value(table: tomlkit.TOMLDocument | tomlkit.items.Table, name: str, field: FieldInfo, value: object) -> None:
    default = field.get_default(call_default_factory=True)
    note = "" if value == default or field.is_required() else f" (default {_literal(default)})"
    _add_comment(table, f"{field.description or ''}{note}")
    if value is None and default is None:
        table.add(tomlkit.comment(f"{name} is not set"))
    else:
        table.add(name, _plain(value))


def _add_comment(table: tomlkit.TOMLDocument | tomlkit.items.Table, text: str | None) -> None:
    first = " ".join((text or "").strip().partition("\n\n")[0].split())
    if first:
        table.add(tomlkit.comment(first))


def _literal(value: object) -> str:
    return str(tomlkit.item(_plain(value)).as_string())


def _plain(value: object) -> Any:
    """A value that TOML can hold: None becomes "off"; keys of a table whose value is None are left out."""
    if value is None:
        return OFF
    plain = TypeAdapter(Any).dump_python(value, mode="json", exclude_none=True)
    if isinstance(value, Mapping):  # its keys are the user's: an entry that is off is one
        plain = {key: OFF if item is None else item for key, item in plain.items()}
    return sorted(plain) if isinstance(value, (set, frozenset)) else plain
