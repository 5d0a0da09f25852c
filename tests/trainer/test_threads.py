"""Threads of torch wait asleep by default: OpenMP itself is asked what it was given."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT


@pytest.mark.parametrize(("given", "expected"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_the_waiting_policy_reaches_openmp(given: str | None, expected: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
    environment |= {"OMP_DISPLAY_ENV": "true"} | ({} if given is None else {"OMP_WAIT_POLICY": given})
    script = (
        "import trainer.model.decoder, torch; torch.set_num_threads(2); torch.ones(999, 999) @ torch.ones(999, 999)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert f"OMP_WAIT_POLICY = '{expected}'" in done.stderr
