from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.trainer.corpora import build_corpus
from trainer.data.corpus import join_corpora, uniform
from trainer.errors import UserError


def test_phases_are_uniform_and_differ_by_seed() -> None:
    keys = np.arange(20_000, dtype=np.uint64)
    one, two = uniform(keys, 1), uniform(keys, 2)
    assert np.histogram(one, 10, (0, 1))[0] == pytest.approx([2000] * 10, abs=200)
    assert abs(np.corrcoef(one, two)[0, 1]) < 0.03


def test_joined_corpora_keep_documents_sources_and_domains() -> None:
    one = replace(build_corpus([[5], [6, 7]], name="a"), domains=("x",))
    two = replace(build_corpus([[8]], name="b"), domains=("w",))
    both = join_corpora([one, two])
    assert [both.document(index).tolist() for index in range(3)] == [[0, 5], [0, 6, 7], [0, 8]]
    assert [both.describe(index).source for index in range(3)] == ["a", "a", "b"]
    assert [both.domains[code] for code in both.domain] == ["x", "x", "w"]
    with pytest.raises(ValueError, match="same name"):
        join_corpora([one, one])
    with pytest.raises(UserError, match="no data source"):
        join_corpora([])
