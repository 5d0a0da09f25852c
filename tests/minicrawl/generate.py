"""Write the mini-crawl: about 300 pages of the kinds found on the real web, and the expected fate of each.

    python -m tests.minicrawl.generate

The files under warc/ and expected.json are committed; a test checks that this module writes equal files.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from tests.minicrawl import dropped, duplicates, kept, low_quality, rights
from tests.minicrawl.captures import Capture, Warc

HERE = Path(__file__).parent


def make_crawl() -> list[Warc]:
    """Every capture in its file: originals before duplicates, kept and dropped pages mixed."""
    stories = kept.stories()
    pages = _shuffle([*stories[::2], *kept.unusual_pages(), *dropped.dropped_pages(), *low_quality.low_quality_pages()])
    half = len(pages) // 2
    plain, zstd = stories[1:12:2], stories[13:30:2]
    files = {
        "minicrawl-00000.warc.gz": pages[:half],
        "minicrawl-00001.warc.gz": [*pages[half:], *stories[31::2]],
        "minicrawl-00002.warc.gz": duplicates.duplicate_pages(),
        "minicrawl-00003.warc": plain,
        "minicrawl-00004.warc.zst": zstd,
        "minicrawl-00005.warc.wet.gz": low_quality.wet_records(),
        "minicrawl-00006.warc.gz": rights.rights_pages(),
    }
    minute = 0
    warcs = []
    for name, captures in files.items():
        timed = []
        for capture in captures:
            minute += 1
            timed.append(replace(capture, at=capture.at or minute))
        warcs.append(Warc(name, timed))
    return warcs


def _shuffle(pages: list[Capture]) -> list[Capture]:
    # A fixed stride without a common factor with the number of pages visits each page once.
    stride = next(step for step in (37, 41, 43, 47) if len(pages) % step)
    return [pages[n * stride % len(pages)] for n in range(len(pages))]


def list_expected(warcs: list[Warc]) -> list[dict[str, str]]:
    """One line per page, in file order."""
    return [
        {
            "file": warc.name,
            "url": "" if capture.damage else capture.url,
            "fetched_at": "" if capture.damage else capture.date,
            "fate": capture.fate,
            **({"survivor": capture.survivor} if capture.survivor else {}),
            **({"group": capture.group} if capture.group else {}),
            "why": capture.why,
        }
        for warc in warcs
        for capture in warc.captures
    ]


def write(folder: Path) -> None:
    """Write the WARC files to folder/warc, and folder/expected.json."""
    warcs = make_crawl()
    (folder / "warc").mkdir(parents=True, exist_ok=True)
    for warc in warcs:
        warc.write(folder / "warc")
    lines = ",\n".join(json.dumps(line, ensure_ascii=False) for line in list_expected(warcs))
    (folder / "expected.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    write(HERE)
