"""Sparse models are fine-tuned by settings of their own, and lose the dropout afterwards."""

from __future__ import annotations

from tests.trainer.model.small_models import SPARSE, TINY
from trainer.tasks.sft import SftSettings, suit_sparse
from trainer.tasks.start_model import adapted


def test_sparse_models_have_settings_of_their_own_unless_these_are_given():
    dense = SftSettings(model=TINY)
    assert suit_sparse(dense) == dense
    sparse = suit_sparse(SftSettings(model=SPARSE))
    assert sparse.model.experts is not None
    assert sparse.model.experts.dropout == 0.4
    assert sparse.chat.batch_size == dense.chat.batch_size // 2
    assert sparse.schedule.learning_rate == 2 * dense.schedule.learning_rate
    given = {"chat": {"batch_size": 16}, "schedule": {"learning_rate": 1e-3}, "expert_dropout": 0.0, "model": SPARSE}
    kept = suit_sparse(SftSettings.model_validate(given))
    assert (kept.chat.batch_size, kept.schedule.learning_rate) == (16, 1e-3)
    assert kept.model.experts == SPARSE.experts


def test_what_follows_has_no_dropout():
    tuned = suit_sparse(SftSettings(model=SPARSE)).model
    assert adapted(tuned, None).experts == SPARSE.experts
