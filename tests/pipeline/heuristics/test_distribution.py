"""The divergence against its definition, and the reference tables."""

from __future__ import annotations

import math

import pytest

from pipeline.heuristics import distribution


def test_divergence_is_jensen_shannon() -> None:
    table = {"a": 0.5, "b": 0.25}  # a quarter for all other words
    assert distribution.jensen_shannon({"a": 2, "b": 1, "x": 1}, table) == pytest.approx(0)
    p, q = [0.0, 0.5, 0.5], [0.5, 0.25, 0.25]
    middle = [(x + y) / 2 for x, y in zip(p, q, strict=True)]
    expected = sum(x * math.log2(x / m) for x, m in zip(p, middle, strict=True) if x) / 2
    expected += sum(y * math.log2(y / m) for y, m in zip(q, middle, strict=True)) / 2
    assert distribution.jensen_shannon({"b": 1, "x": 1}, table) == pytest.approx(expected)
    assert distribution.jensen_shannon({"x": 1}, {"a": 1.0}) == pytest.approx(1)


def test_reference_tables_are_shares_in_order() -> None:
    tables = sorted(distribution.REFERENCE_FOLDER.glob("*.txt"))
    assert len(tables) > 35
    for path in tables:
        table = distribution.load_reference(path.stem)
        assert table is not None
        shares = list(table.values())
        assert shares == sorted(shares, reverse=True)
        assert 0.1 < sum(shares) < 1, path
    assert distribution.load_reference("../secret") is None
