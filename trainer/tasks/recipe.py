"""A whole run as one configuration: the loop's settings, the data and the tokenizer; and all of it opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from trainer.config import ConfigError, read_config, validated
from trainer.data import tokenizer as tokenizers
from trainer.data.batches import BatchSource
from trainer.data.sources import DataSettings, held_out, load_corpus, pinned, training
from trainer.data.tokenizer import Tokenizer
from trainer.training.run import PretrainSettings


class Recipe(PretrainSettings):
    """What a TOML file of a run holds."""

    tokenizer: Path = Field(default=Path("tokenizer.json"), description="a tokenizer.json or its folder")
    data: DataSettings = DataSettings()


@dataclass(frozen=True)
class Opened:
    """A configuration with its files open."""

    settings: Recipe
    tokenizer: Tokenizer
    source: BatchSource
    validation: BatchSource | None  # the held-out documents; None where none are held out

    @property
    def shares(self) -> dict[str, float]:
        """What the sources ask for."""
        sources = self.settings.data.sources
        return {name: source.share for name, source in sources.items() if source.share is not None}

    @property
    def configuration(self) -> dict[str, Any]:
        """What a checkpoint keeps, enough to open the run again."""
        return self.settings.model_dump(mode="json")


def read_recipe(
    source: str, changes: Sequence[str] = (), data: str | None = None, tokenizer: Path | None = None
) -> Recipe:
    """The settings of a TOML file, a preset, or a run's folder (what it ran with), with the command line's changes."""
    more = [] if tokenizer is None else [f"tokenizer={str(tokenizer)!r}"]
    more += [] if data is None else [f"data.sources={{web = {{path = {data!r}}}}}"]
    if not Path(source).is_dir():
        return read_config(Recipe, source, [*more, *changes])
    from trainer.training import checkpoint

    settings = checkpoint.read_state(checkpoint.find(Path(source))).settings
    known = {name: value for name, value in settings.items() if name in Recipe.model_fields}  # not a stage's own
    stored = validated(Recipe, known, source)
    return changed(stored, [*more, *changes], source)


def changed(settings: Recipe, changes: Sequence[str], source: str = "the run") -> Recipe:
    """The same settings with `section.key=value` changes."""
    from trainer.config import apply_changes

    return validated(Recipe, apply_changes(settings.model_dump(mode="json"), changes), source)


def _objective_changes(tokenizer: Tokenizer) -> list[str]:
    """The ids that a denoising objective takes from the tokenizer."""
    sentinels = [index for token, index in tokenizer.control.items() if token.startswith("<|sentinel_")]
    if not sentinels:
        raise ConfigError("the tokenizer has no sentinels for denoising; train one with sentinels = 100")
    return [
        f"objective.first_sentinel={min(sentinels)}",
        f"objective.sentinels={len(sentinels)}",
        f"objective.separator={tokenizer.separator}",
    ]


def open_recipe(settings: Recipe, *, progress: bool = True) -> Opened:
    """Loads the tokenizer, tokenizes what is not yet, and checks that they fit the model."""
    tokenizer = tokenizers.load(settings.tokenizer)
    settings = settings.model_copy(update={"data": pinned(settings.data)})  # a run keeps the snapshot it began with
    if "vocabulary" not in settings.model.model_fields_set:
        settings = changed(settings, [f"model.vocab_size={tokenizer.vocab_size}"])
    if settings.objective.denoisers and "first_sentinel" not in settings.objective.model_fields_set:
        settings = changed(settings, _objective_changes(tokenizer))
    if settings.model.vocab_size < tokenizer.vocab_size:
        raise ConfigError(
            f"model.vocab_size = {settings.model.vocab_size:,} but {settings.tokenizer} has {tokenizer.vocab_size:,} "
            "tokens; leave model.vocab_size out and it follows the tokenizer"
        )
    corpus = load_corpus(settings.data, tokenizer, progress=progress)
    tested = held_out(corpus, settings.data)
    endless = settings.data.model_copy(update={"max_repetitions": None, "first_sequence": 0})
    validation = BatchSource(tested, endless) if tested.weight.any() else None
    return Opened(settings, tokenizer, training(corpus, settings.data), validation)
