"""Which generated tasks are kept: the filters of Self-Instruct (Wang et al. 2022) and ROUGE-L novelty.

The rules are those of the paper and of its published program: less than .7 ROUGE-L with every task of the pool, 4 to
150 words, no task that needs eyes or files, none that begins with punctuation, with a character outside ASCII or
with "Write a program"; instances without an output, that repeat their input, end in a colon, are repeated, or answer
one input in two ways are left out.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rapidfuzz.distance import LCSseq

_WORD = re.compile(r"[^\W_]+")
_UNFIT = re.compile(r"\b(?:images?|graphs?|pictures?|files?|maps?|draw|plot|go to)\b", re.IGNORECASE)
MIN_WORDS, MAX_WORDS = 4, 150
MAX_CHARACTERS = 20_000  # of an instruction or an instance


class TaskInstance(NamedTuple):
    """An example of a task."""

    input: str
    output: str


def rouge_words(text: str) -> list[str]:
    """The words that ROUGE compares: lower case, letters and digits of any script.

    >>> rouge_words("Don't use_it, twice!")
    ['don', 't', 'use', 'it', 'twice']
    """
    return _WORD.findall(text.lower())


class TaskPool:
    """Instructions so far, to compare new ones with."""

    def __init__(self, instructions: Iterable[str]) -> None:
        self.instructions: list[str] = []
        self._words: list[list[str]] = []
        for instruction in instructions:
            self.add(instruction)

    def add(self, instruction: str) -> None:
        """One more."""
        self.instructions.append(instruction)
        self._words.append(rouge_words(instruction))

    def most_similar(self, instruction: str) -> tuple[float, str]:
        """The highest ROUGE-L (F1 of the longest common subsequence of words), and the instruction that has it."""
        words, best, nearest = rouge_words(instruction), 0.0, ""
        for others, text in zip(self._words, self.instructions, strict=True):
            length = len(words) + len(others)
            if not length or 2 * min(len(words), len(others)) / length <= best:
                continue  # it cannot be nearer, whatever its words
            score = 2 * LCSseq.similarity(words, others) / length
            if score > best:
                best, nearest = score, text
        return best, nearest


def find_fault(instruction: str) -> str | None:
    """Why an instruction is not kept; None if it may be."""
    words = len(instruction.split())
    if words < MIN_WORDS or len(instruction) < MIN_WORDS:
        return "too short"
    if words > MAX_WORDS or len(instruction) > MAX_CHARACTERS:
        return "too long"
    if _UNFIT.search(instruction):
        return "needs more than text"
    if instruction.lower().startswith("write a program"):
        return "asks for a program"
    if instruction[0] in string.punctuation:
        return "begins with punctuation"
    return None if instruction[0].isascii() else "begins outside ASCII"


def keep_instances(instances: Sequence[TaskInstance]) -> list[TaskInstance]:
    """Those that can be learned from, each once."""
    good = [item for item in dict.fromkeys(instances) if _is_usable(item)]
    outputs: dict[str, set[str]] = {}
    for item in good:
        outputs.setdefault(item.input, set()).add(item.output)
    return [item for item in good if len(outputs[item.input]) == 1]


def _is_usable(item: TaskInstance) -> bool:
    if not item.output or item.output == item.input or len(item.input) + len(item.output) > MAX_CHARACTERS:
        return False
    return not item.input.endswith(":") and not item.output.endswith(":")
