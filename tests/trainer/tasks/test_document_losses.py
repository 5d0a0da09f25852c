"""document_losses: means by domain, and the documents of a step, the worst first."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.trainer import runs
from tests.trainer.training.test_loop import ALONE, two_domains
from trainer.tasks.document_losses import domain_losses


def test_token_documents_name_the_document_of_every_token():
    source = runs.source()
    batch = source.batch(3, 1, 2)
    documents = source.token_documents(3, 1, 2)
    for row in range(4):
        for place in range(32):
            text = source.corpus.document(int(documents[row, place]))
            offset = int(batch.positions[row, place])
            if batch.document_ids[row, place] > 0:  # the first may have started_run in the row before
                assert text[offset] == batch.inputs[row, place]
    named = {source.corpus.describe(int(index)).id for index in np.unique(documents)}
    assert named == {found.id for found in source.documents(3, 1, 2)}


def test_domain_losses_leave_out_what_does_not_count():
    source = two_domains()
    documents = source.token_documents(0)
    losses = torch.rand(8, 32, generator=torch.Generator().manual_seed(0))
    counted = torch.rand(8, 32, generator=torch.Generator().manual_seed(1)) < 0.5
    found = domain_losses(losses, counted, documents, source, ALONE)
    for code, name in enumerate(("law", "science")):
        chosen = counted.numpy() & (source.corpus.domain[documents] == code)
        assert found[name] == pytest.approx([losses.numpy()[chosen].mean(), chosen.sum()])
