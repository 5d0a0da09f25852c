"""The gate: a model may replace the shipped one only if it is not worse on the pinned test rows.

`floors.json` holds for each model the digest of the test rows and a floor (lowest allowed value) for each metric. A
model that was measured on other test rows is refused, because the values cannot be compared. The human judgments of
DCLM's set have no floor: they only measure, and to refuse a model by them would be to choose by them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from classifiers.errors import UserError, explain_disk

FLOORS = Path(__file__).parent / "floors.json"


def load_floors(path: Path = FLOORS) -> dict[str, Any]:
    """{model: {"test_digest": ..., "floors": {"test.auc": 0.7, ...}}}"""
    try:
        with explain_disk(path):
            found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as floors: {error}") from error
    return found


def value_at(numbers: Mapping[str, Any], dotted: str) -> float:
    """`test.auc` -> numbers["test"]["auc"]."""
    value: Any = numbers
    for part in dotted.split("."):
        value = value[part]
    return float(value)


def find_failures(name: str, numbers: Mapping[str, Any], floors: Mapping[str, Any]) -> list[str]:
    """One line for each metric below its floor; empty when the model passes."""
    if name not in floors:
        return [f"no floors are pinned for {name}"]
    pinned = floors[name]
    if numbers["test_digest"] != pinned["test_digest"]:
        return [
            f"{name} was measured on test rows {numbers['test_digest'][:12]}..., the floors are pinned on "
            f"{pinned['test_digest'][:12]}...: measure on the same data, or pin new floors"
        ]
    found = []
    for measure, floor in sorted(pinned["floors"].items()):
        value = value_at(numbers, measure)
        if not value >= floor:  # NaN does not pass
            found.append(f"{name}: {measure} is {value:.4f}, the floor is {floor:.4f}")
    return found
