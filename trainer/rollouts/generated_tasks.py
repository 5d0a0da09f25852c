"""Questions whose answers code knows, made by the thousand: for a tiny model to learn before one's eyes.

Each item is a conversation (for `sft`) with its verifier (for `grpo`): {"messages": [...], "verify": {...}}.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

WORDS = ("red", "blue", "green", "one", "two", "sun", "moon", "tree", "cat", "dog", "rain", "snow", "day", "night")


def generate_tasks(kind: str, count: int, size: int, seed: int) -> Iterator[dict[str, Any]]:
    """`count` items of a kind; `size`: digits of a number, or words of a list. The same for the same arguments."""
    generator = np.random.Generator(np.random.PCG64([seed, sorted(KINDS).index(kind)]))
    for _ in range(count):
        question, answer, check = KINDS[kind](generator, size)
        messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        yield {"messages": messages, "verify": check}


Made = tuple[str, str, dict[str, Any]]  # question, answer, verifier


def _number(generator: np.random.Generator, size: int) -> int:
    return int(generator.integers(0, 10**size))


def _sum(generator: np.random.Generator, size: int) -> Made:
    a, b = _number(generator, size), _number(generator, size)
    return f"{a}+{b}=", str(a + b), {"kind": "number", "answer": str(a + b)}


def _sum_of_three(generator: np.random.Generator, size: int) -> Made:
    numbers = [_number(generator, size) for _ in range(3)]
    return f"{'+'.join(map(str, numbers))}=", str(sum(numbers)), {"kind": "number", "answer": str(sum(numbers))}


def _difference(generator: np.random.Generator, size: int) -> Made:
    a, b = _number(generator, size), _number(generator, size)
    return f"{a}-{b}=", str(a - b), {"kind": "number", "answer": str(a - b)}


def _larger(generator: np.random.Generator, size: int) -> Made:
    a, b = _number(generator, size), _number(generator, size)
    return f"larger: {a} or {b}?", str(max(a, b)), {"kind": "number", "answer": str(max(a, b))}


def _words(generator: np.random.Generator, size: int) -> list[str]:
    return [WORDS[index] for index in generator.integers(0, len(WORDS), size)]


def _copy(generator: np.random.Generator, size: int) -> Made:
    text = " ".join(_words(generator, size))
    return f"repeat: {text}", text, {"kind": "text", "answer": text}


def _reverse(generator: np.random.Generator, size: int) -> Made:
    words = _words(generator, size)
    text = " ".join(reversed(words))
    return f"backwards: {' '.join(words)}", text, {"kind": "text", "answer": text}


def _count(generator: np.random.Generator, size: int) -> Made:
    words = _words(generator, int(generator.integers(1, size + 1)))
    return f"how many words: {' '.join(words)}", str(len(words)), {"kind": "number", "answer": str(len(words))}


KINDS: Mapping[str, Callable[[np.random.Generator, int], Made]] = {
    "sums": _sum,
    "sums-of-three": _sum_of_three,
    "differences": _difference,
    "larger": _larger,
    "copy": _copy,
    "reverse": _reverse,
    "count": _count,
}
