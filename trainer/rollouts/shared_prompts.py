"""Answers to one prompt in one row: what they share is computed once, and so is an answer that was given twice.

A row is the prompt without its last token, then for each different answer that token and the answer as a branch of its
own (see `attention_mask`), so that every predicted token stands in one place. 8 answers of 2 tokens to a prompt of 14
tokens are 29 tokens in place of 120.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from trainer.chat.chat_batches import PADDING
from trainer.model.token_log_probs import TokenLogProbs

LONGEST = 2  # times the longest answer with its prompt: attention pays for the square of a row's length
INPUTS = ("tokens", "targets", "weights", "positions", "document_ids")
GAIN = 1.2  # rows are shared if they have so many times fewer tokens


class SharedRows(NamedTuple):
    """Rows of several answers each."""

    inputs: dict[str, Tensor]  # int or bool [G, L]: tokens, targets, weights, positions, document_ids, branches
    places: Tensor  # int [R, S]: where in the flattened inputs each learned token of the answers stands; else 0


class _Row:
    """A prompt and the branches that follow it."""

    def __init__(self, prompt: Sequence[int]) -> None:
        self.columns = [(token, 0, False, place, 0) for place, token in enumerate(prompt)]
        self.branches: dict[tuple[int, ...], int] = {}  # first column by its tokens

    def add(self, tokens: tuple[int, ...], position: int) -> None:
        """The branch reads all of its tokens but the last, and predicts all but the first."""
        self.branches[tokens] = len(self.columns)
        branch = len(self.branches)
        for place in range(len(tokens) - 1):
            self.columns.append((tokens[place], tokens[place + 1], True, position + place, branch))


def share_prompts(part: dict[str, Tensor]) -> SharedRows | None:
    """Rows of one prompt with one answer each, [R, S], as rows that share their prompts; None if that gains nothing.

    part: tokens, targets, weights (true on the answer), positions, document_ids, as `fill_rows` gives them.
    """
    weights = part["weights"].bool().cpu()
    tokens, targets = part["tokens"].tolist(), part["targets"].tolist()
    begins = weights.int().argmax(dim=1).tolist()
    counts = weights.sum(dim=1).tolist()
    limit = LONGEST * max(begin + count for begin, count in zip(begins, counts, strict=True))
    rows: list[_Row] = []
    open_rows: dict[tuple[int, ...], int] = {}  # the last row of each prompt
    found: list[tuple[int, int]] = []  # (row, column) of each answer
    for text, predicted, begin, count in zip(tokens, targets, begins, counts, strict=True):
        prompt, answer = tuple(text[: begin + 1]), (text[begin], *predicted[begin : begin + count])
        row = open_rows.get(prompt)
        full = row is not None and answer not in rows[row].branches and len(rows[row].columns) + count > limit
        if row is None or full:
            open_rows[prompt] = row = len(rows)
            rows.append(_Row(prompt[:-1]))
        if answer not in rows[row].branches:
            rows[row].add(answer, begin)
        found.append((row, rows[row].branches[answer]))
    length = max(len(row.columns) for row in rows)
    if len(rows) * length * GAIN > weights.numel():
        return None
    device = part["tokens"].device
    blank = (0, 0, False, 0, 0)
    columns = torch.tensor([[*row.columns, *[blank] * (length - len(row.columns))] for row in rows], device=device)
    names = ("tokens", "targets", "weights", "positions", "branches")
    inputs = dict(zip(names, columns.unbind(-1), strict=True))
    inputs["weights"] = inputs["weights"].bool()
    real = torch.tensor([len(row.columns) for row in rows], device=device)
    inputs["document_ids"] = torch.where(torch.arange(length, device=device) < real[:, None], 0, PADDING)
    first = torch.tensor([row * length + column for row, column in found])[:, None]
    offsets = torch.arange(weights.shape[1]) - torch.tensor(begins)[:, None]
    return SharedRows(inputs, torch.where(weights, first + offsets, 0).to(device))


class AnswerOutput(NamedTuple):
    """What a model says of the answers' tokens, [R, S] each; the log-probabilities are 0 elsewhere."""

    chosen: TokenLogProbs
    values: Tensor | None  # of a value model, if there is one


def read_answers(model: nn.Module, part: dict[str, Tensor], *, share: bool = True) -> AnswerOutput:
    """Log-probabilities, entropies and values of rows as in `share_prompts`; `share` allows rows of several answers."""
    shared = share_prompts(part) if share else None
    if shared is None:
        output = model(**{name: part[name] for name in INPUTS}, log_probs=True)
        return AnswerOutput(output.chosen, output.values)
    output = model(**shared.inputs, log_probs=True)
    weights = part["weights"].bool()

    def spread(values: Tensor) -> Tensor:
        # The gradient of index_select is summed in one order, that of an index by whichever thread comes first.
        return values.flatten().index_select(0, shared.places.flatten()).view_as(weights) * weights

    values = None if output.values is None else spread(output.values)
    return AnswerOutput(TokenLogProbs(*map(spread, output.chosen)), values)
