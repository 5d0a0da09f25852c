"""Open the files of a pretraining run: the tokenizer, the batches to train on and those to validate on."""

from __future__ import annotations

from dataclasses import dataclass

from trainer.config import ConfigError
from trainer.data.batches import BatchSource
from trainer.data.sightings import open_trained_data
from trainer.data.sources import build_training_batches, load_corpus, pin_snapshots, select_held_out
from trainer.data.tokenizer import Tokenizer, load_tokenizer
from trainer.data.trace import check_unchanged
from trainer.errors import UserError
from trainer.retrieval.neighbors import NeighborFinder, NeighborSettings, open_finder
from trainer.tasks.pretrain_settings import PretrainSettings, change_settings


@dataclass(frozen=True)
class PretrainInputs:
    """Settings completed by the tokenizer's ids, and the opened files that they name."""

    settings: PretrainSettings
    tokenizer: Tokenizer
    source: BatchSource
    validation: BatchSource | None  # the held-out documents; None if none are held out
    neighbors: NeighborFinder | None = None  # for a model that reads them

    @property
    def shares(self) -> dict[str, float]:
        """The target share of each source that has one."""
        sources = self.settings.data.sources
        return {name: source.share for name, source in sources.items() if source.share is not None}


def open_pretrain_inputs(settings: PretrainSettings, *, progress: bool = True) -> PretrainInputs:
    """Load the tokenizer, tokenize what is not in the cache, and check that both fit the model."""
    tokenizer = load_tokenizer(settings.tokenizer)
    data = pin_snapshots(settings.data)  # a run keeps the snapshot that it began with
    settings = settings.model_copy(update={"data": data})
    settings = _take_ids(settings, tokenizer)
    corpus = load_corpus(settings.data, tokenizer, progress=progress)
    held_out = select_held_out(corpus, settings.data)
    endless = settings.data.model_copy(update={"max_repetitions": None, "first_sequence": 0})
    validation = BatchSource(held_out, endless) if held_out.weight.any() else None
    source = build_training_batches(corpus, settings.data)
    if settings.model.retro is None:
        return PretrainInputs(settings, tokenizer, source, validation)
    neighbors = open_finder(settings.retrieval, settings.model.retro, tokenizer.sha256)
    found = neighbors.database
    pinned = NeighborSettings(database=found.folder.absolute(), digest=found.digest, max_overlap=neighbors.max_overlap)
    settings = settings.model_copy(update={"retrieval": pinned})
    return PretrainInputs(settings, tokenizer, source, validation, neighbors)


def find_trained_data(settings: PretrainSettings, fingerprint: str, run: str) -> BatchSource:
    """The batches that a run has read: from the stores that it was trained on, blanked or not, or tokenized again.

    Raises UserError where neither gives the batches of this fingerprint.
    """
    try:
        return open_trained_data(pin_snapshots(settings.data), load_tokenizer(settings.tokenizer), fingerprint, run)
    except UserError:
        source = open_pretrain_inputs(settings).source
        check_unchanged(source, fingerprint, run)
        return source


def _take_ids(settings: PretrainSettings, tokenizer: Tokenizer) -> PretrainSettings:
    """The settings with the tokenizer's vocabulary size and, for denoising, its sentinels."""
    if "vocab_size" not in settings.model.model_fields_set:
        settings = change_settings(settings, [f"model.vocab_size={tokenizer.vocab_size}"])
    if settings.objective.denoisers and "first_sentinel" not in settings.objective.model_fields_set:
        settings = change_settings(settings, _objective_changes(tokenizer))
    if settings.model.vocab_size < tokenizer.vocab_size:
        raise ConfigError(
            f"model.vocab_size = {settings.model.vocab_size:,} but {settings.tokenizer} has {tokenizer.vocab_size:,} "
            "tokens; leave model.vocab_size out to take the tokenizer's"
        )
    return settings


def _objective_changes(tokenizer: Tokenizer) -> list[str]:
    """The ids of the denoising objective."""
    sentinels = [index for token, index in tokenizer.control.items() if token.startswith("<|sentinel_")]
    if not sentinels:
        raise ConfigError("the tokenizer has no sentinels for denoising; train one with sentinels = 100")
    return [
        f"objective.first_sentinel={min(sentinels)}",
        f"objective.sentinels={len(sentinels)}",
        f"objective.separator={tokenizer.separator}",
    ]
