"""Conversations about sums, as files."""

from __future__ import annotations

import json
from pathlib import Path


def write_sums(path: Path, count: int = 120) -> Path:
    """Sums of two digits, asked and answered."""
    rows = []
    for number in range(count):
        a, b = number % 10, number * 7 // 10 % 10
        answer = {"role": "assistant", "content": str(a + b)}
        rows.append({"messages": [{"role": "user", "content": f"{a}+{b}="}, answer]})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
