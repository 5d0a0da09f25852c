"""run_record: what a record says of the code that ran."""

from __future__ import annotations

import importlib.metadata

from trainer.reports import run_record


def test_a_checkout_that_is_not_installed_is_described(monkeypatch):
    """On a machine with torch alone the sources run from their folder."""
    find = importlib.metadata.version

    def version(name: str) -> str:
        if name == "gristmill":
            raise importlib.metadata.PackageNotFoundError(name)
        return find(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    described = run_record.describe_code.__wrapped__()
    assert described["version"] == "not installed"
    assert len(described["sources"]) == 16
