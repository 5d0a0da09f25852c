"""Bradley-Terry: the probability that one of two is preferred is the sigmoid of the difference of their scores."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def ranking_loss(chosen: Tensor, rejected: Tensor, margins: Tensor, ties: Tensor) -> Tensor:
    """The loss of each pair [B] in nats: the cross-entropy of its label.

    chosen, rejected: scores [B]. margins [B]: by how much the difference should exceed 0 (Llama 2, Touvron et al.
    2023). ties, bool [B]: pairs without a preference, whose label is half for either side.
    """
    difference = chosen - rejected - margins
    preferred, other = -F.logsigmoid(difference), -F.logsigmoid(-difference)
    return (preferred + other).div(2).where(ties, preferred)
