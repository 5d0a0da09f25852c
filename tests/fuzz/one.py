"""`python -m tests.fuzz.one TARGET FOLDER SECONDS`: one target under atheris; FOLDER holds what it has found so far."""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> None:
    import atheris

    name, folder, seconds = sys.argv[1:]
    with atheris.instrument_imports(include=["pipeline", "trainer", "warcio", "trafilatura"]):
        from tests.fuzz.targets import TARGETS
    target = TARGETS[name]
    corpus = Path(folder)
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds()):
        (corpus / f"seed-{number}").write_bytes(seed)
    options = [f"-max_total_time={seconds}", "-timeout=60", "-rss_limit_mb=4000", f"-artifact_prefix={folder}-"]
    atheris.Setup([sys.argv[0], *options, "-print_final_stats=1", folder], target.run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
