"""The settings of a release: those on which the texts depend, without secrets and without paths of one machine.

Every page of a release was kept, so whatever only drops pages or scores them is left out: its lists, models and modules
are on the machine of the run, at paths or addresses that concern nobody. Two models may be the user's own and still
change texts: that of identify_language, by which lines are corrected and phone numbers found, and that which finds
names. A release has their file names, and `gristmill rehydrate --set` says where they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import classifiers
from pipeline.config import Config
from pipeline.errors import UserError
from pipeline.publishing.provenance import short_name, without_secrets
from pipeline.stages.block_urls import BlockUrlsSettings
from pipeline.stages.identify_language import IdentifyLanguageSettings
from pipeline.stages.scrub_pii import ScrubPiiSettings

_OWN = "<own>/"  # before the name of a model of the user's
_OWN_MODELS = (("identify_language", "model"), ("scrub_pii", "names_model"))
_NO_LISTS = BlockUrlsSettings(
    hosts=(), urls=(), ut1=(), annotations=(), hard_words=(), soft_words=(), banned_substrings=(), allowed_hosts=(),
    excluded_sources=(),
)  # fmt: skip


def keep_text_settings(config: Config) -> Config:
    """The settings that give the same text to every page that was kept; they read no list of the user's."""
    defaults = Config()
    whole = ("prepare", "suppress", "decontaminate", "score_quality", "tag_domain", "custom_rules", "deduplicate")
    words = type(config.filter_heuristics.harmful_words)(max_per_1000_words=None)
    language, names = config.identify_language, config.scrub_pii
    return config.model_copy(
        update={
            **{table: getattr(defaults, table) for table in (*whole, "publish")},
            "block_urls": _NO_LISTS,
            "check_rights": config.check_rights.model_copy(update={"robots_files": ()}),
            "filter_heuristics": config.filter_heuristics.model_copy(update={"harmful_words": words}),
            "identify_language": language if language.engine == "fasttext" else _reset(language, "model"),
            "scrub_pii": names if names.names else _reset(names, "names_model"),
        }
    )


def _reset(
    settings: IdentifyLanguageSettings | ScrubPiiSettings, key: str
) -> IdentifyLanguageSettings | ScrubPiiSettings:
    return settings.model_copy(update={key: getattr(type(settings)(), key)})


def name_own_models(config: Config) -> Config:
    """The settings with the names of the user's own models in place of their paths."""
    for table, key in _OWN_MODELS:
        settings = getattr(config, table)
        path = getattr(settings, key)
        if _is_own(path):
            name = type(path)(f"{_OWN}{Path(path).name}")
            config = config.model_copy(update={table: settings.model_copy(update={key: name})})
    return config


def _is_own(model: Path | str) -> bool:
    """Whether it is a path outside of this project's packages; a model of spaCy is the name of a package."""
    is_path = isinstance(model, Path) or Path(model).name != model
    return is_path and not Path(model).is_relative_to(Path(str(classifiers.__file__)).parent)


def check_own_models(config: Config, release: str) -> None:
    """Raises UserError for an own model of the release that nobody has said where it is."""
    for table, key in _OWN_MODELS:
        name = str(getattr(getattr(config, table), key))
        if name.startswith(_OWN):
            raise UserError(
                f"{release}: its texts depend on the model {name.removeprefix(_OWN)}, which is not part of it; "
                f"name where it is: --set {table}.{key}=PATH"
            )


def without_places(value: Any) -> Any:
    """Stored settings for readers: addresses without secrets, and of paths the last folder and the name."""
    if isinstance(value, Mapping):
        return {key: without_places(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_places(item) for item in value]
    if not isinstance(value, str):
        return value
    return short_name(value) if value.startswith(("/", "~", "file:")) else without_secrets(value)
