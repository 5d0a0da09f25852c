"""`make fuzz MINUTES=5`: every target for an equal share of the time; what breaks one is kept as a file and named."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

from tests.fuzz.targets import TARGETS


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--target", choices=list(TARGETS), action="append")
    parser.add_argument("--corpus", type=Path, default=Path(".fuzz"))
    arguments = parser.parse_args()
    chosen = arguments.target or list(TARGETS)
    seconds = max(1, round(60 * arguments.minutes / len(chosen)))
    broken = [name for name in chosen if not fuzz(name, arguments.corpus, seconds)]
    sys.exit(bool(broken))


def fuzz(name: str, corpus: Path, seconds: int) -> bool:
    """Whether the target held."""
    command = [sys.executable, "-m", "tests.fuzz.one", name, str(corpus / name), str(seconds)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    runs = re.findall(r"number_of_executed_units: (\d+)", done.stdout)
    print(f"{name}: {runs[-1] if runs else '?'} inputs in {seconds} s", "" if done.returncode == 0 else "BROKEN")
    if done.returncode:
        print("\n".join(done.stdout.splitlines()[-40:]))
    return done.returncode == 0


if __name__ == "__main__":
    main()
