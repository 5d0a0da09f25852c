"""Settings and drop reasons of deduplication. Without Beam, because the page process needs them, too."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field, model_validator

from pipeline.settings import Settings


class DuplicateReason(StrEnum):
    """Why deduplication drops a document."""

    SAME_URL = "same_url"
    SAME_TEXT = "same_text"
    NEAR_DUPLICATE = "near_duplicate"
    ALREADY_PUBLISHED = "already_published"  # by a previous run, according to any of these three tests
    HAS_DUPLICATES = "has_duplicates"  # with `keep = "none"`: the document that would otherwise be kept
    TOO_LITTLE_LEFT = "too_little_left"  # after its repeated paragraphs and lines were removed


class Keep(StrEnum):
    """Which of several duplicates is kept."""

    BEST = "best"  # by preferred source, then quality, then length, then earliest date, then smallest id
    NONE = "none"  # none of them: for text that must occur once or not at all


class DeduplicateSettings(Settings):
    """Thresholds of deduplication.

    Near duplicates are found by MinHash over word 5-grams (character 5-grams in scripts without spaces). Bands, rows
    and threshold were chosen on 18,000 edited pairs of real texts with known Jaccard similarity J, after verification
    by the sketch (tests/benchmarks/near_duplicates.py):

                   found at J >= .80   at .73-.77   wrong: J < .60
        14 x 8, .70       .989            .71           .0003        FineWeb's bands
        20 x 7, .68       .999            .92           .0005
        24 x 6, .70      1.000            .92           .0002

    Sources: `paragraph_words` from Lee 2022 and RefinedWeb (50 tokens); the loss limits from BFF, which once deleted
    90-98% (dclm#83), and from 859,092 rows that collapsed into 2 (marin#6854). `min_words_left` is below Gopher's 50
    for whole pages, because the words left are the page's own: course pages of 1996 with 40 words of description were
    worth keeping. Lines below `sentence_words` are removed only in a page's header or footer, because "Ingredients" in
    the middle of every recipe of a site is structure.
    """

    keep: Keep = Field(
        Keep.BEST,
        description="of several duplicates keep the best (source, quality, length, date, id), or none of them",
    )
    prefer_source: tuple[str, ...] = Field(
        (),
        description="hosts, registered domains or prefixes of input file paths or names; duplicates from the first "
        "that fits are kept",
    )
    previous_sketches: tuple[str, ...] = Field(
        (), description="folders OUT/sketches of previous runs; documents published there are dropped"
    )
    previous_urls: bool = Field(
        True, description="drop URLs that a previous run published; false keeps pages that have changed since then"
    )

    exact_url: bool = Field(True, description="drop all but the best document of each URL")
    exact_text: bool = Field(True, description="drop all but the best document of each text")
    near: bool = Field(True, description="drop near duplicates")
    bands: int = Field(24, ge=1, le=500, description="MinHash bands; documents that share one are compared")
    rows: int = Field(6, ge=1, le=100, description="MinHash rows per band")
    threshold: float = Field(
        0.70, gt=0.0, le=1.0, description="estimated Jaccard similarity from which a document is a near duplicate"
    )
    bucket_limit: int = Field(
        1000,
        ge=1,
        description="most distinct documents of a bucket that a document is compared with; the report counts the "
        "documents that met it",
    )
    rounds: int = Field(
        2, ge=1, le=10, description="distributed rounds before undecided documents are decided sequentially"
    )

    paragraphs: bool = Field(True, description="keep a repeated long paragraph on the best page only")
    paragraph_words: int = Field(50, ge=1, description="words from which a paragraph is long")
    paragraph_pages: int = Field(
        2,
        ge=2,
        description="pages that must share a long paragraph; raise it to keep what two versions of a page share",
    )
    boilerplate: bool = Field(True, description="remove shorter lines that many pages of a site repeat")
    boilerplate_pages: int = Field(4, ge=2, description="pages of a registered domain that must share a shorter line")
    boilerplate_share: float = Field(
        0.05, ge=0.0, le=1.0, description="share of a registered domain's pages that must share a shorter line"
    )
    sentence_words: int = Field(
        8,
        ge=1,
        description="words from which a repeated line is kept on the best page only; shorter ones are removed from "
        "headers and footers",
    )
    min_words_left: int = Field(30, ge=0, description="a document that lost lines and has fewer words left is dropped")

    max_loss: float = Field(
        0.95, ge=0.0, le=1.0, description="share of documents dropped as duplicates above which the run fails"
    )
    warn_loss: float = Field(
        0.5, ge=0.0, le=1.0, description="share of documents dropped as duplicates above which the report warns"
    )
    warn_group: int = Field(10_000, ge=2, description="duplicates of one document from which the report warns")

    partition_bytes: int = Field(
        64_000_000, ge=1_000, description="bytes of keys per partition; a worker needs six times that while it sorts"
    )

    @model_validator(mode="after")
    def _check_min_words_left(self) -> DeduplicateSettings:
        # A page that keeps the only instance of a long paragraph must not be dropped for having too few words left.
        if self.min_words_left > self.paragraph_words:
            raise ValueError(
                f"min_words_left ({self.min_words_left}) must not exceed paragraph_words ({self.paragraph_words}): "
                "the page on which a repeated paragraph is kept could be dropped, and the paragraph with it"
            )
        return self

    @property
    def signature_rows(self) -> int:
        return self.bands * self.rows
