"""Settings and reasons of deduplication. Apart from the Beam code, because phase 1 sketches with them too."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field, model_validator

from pipeline.settings import Settings


class DuplicateReason(StrEnum):
    """Why deduplication drops a document."""

    SAME_URL = "same_url"
    SAME_TEXT = "same_text"
    NEAR_DUPLICATE = "near_duplicate"
    ALREADY_PUBLISHED = "already_published"  # an earlier snapshot has it, by whichever of the three tests
    HAS_COPIES = "has_copies"  # `keep = "none"`: the one that would have stood for its copies
    TOO_LITTLE_LEFT = "too_little_left"  # after its repeated paragraphs and lines were taken out


class Keep(StrEnum):
    """Which of several copies stays."""

    BEST = "best"  # preferred source, then quality, then length, then earliest date, then smallest id
    NONE = "none"  # all copies go: for text that should be there once or not at all


class DeduplicateSettings(Settings):
    """Thresholds of deduplication; sources in brackets."""

    keep: Keep = Keep.BEST
    # Before anything else, copies from the first entry that fits win: a host, a registered domain (its subdomains
    # included), or the beginning of an input file's path or name.
    prefer_source: tuple[str, ...] = ()
    # Sketch folders of previous runs (OUT/sketches): documents published there are dropped.
    previous_sketches: tuple[str, ...] = ()
    previous_urls: bool = True  # False: a page that changed since a previous run is kept under its old URL

    exact_url: bool = True
    exact_text: bool = True

    # MinHash over word 5-grams (character 5-grams where the script writes no spaces).
    near: bool = True
    # Chosen on 18,000 edited pairs of real texts with known Jaccard similarity J, after verification by the sketch:
    #              found at J >= .80   at .73-.77   wrong: J < .60   (tests/benchmarks/near_duplicates.py)
    #   14 x 8, .70       .989            .71           .0003        FineWeb's bands
    #   20 x 7, .68       .999            .92           .0005
    #   24 x 6, .70      1.000            .92           .0002
    bands: int = Field(24, ge=1, le=500)
    rows: int = Field(6, ge=1, le=100)
    # Estimated Jaccard similarity from which a candidate counts as a copy.
    threshold: float = Field(0.70, gt=0.0, le=1.0)
    # A document is compared with this many distinct documents of a bucket at most; buckets that reach it are reported.
    bucket_limit: int = Field(1000, ge=1)
    # Undecided documents go through this many distributed rounds before the rest is settled in one place.
    rounds: int = Field(2, ge=1, le=10)

    # Paragraphs of at least so many words stay on the best page only [50 tokens: Lee 2022, RefinedWeb].
    paragraphs: bool = True
    paragraph_words: int = Field(50, ge=1)
    paragraph_pages: int = Field(2, ge=2)  # raise it to leave passages alone that two versions of a page share
    # Shorter lines count as repeated when that many pages and that share of the registered domain's pages have them.
    boilerplate: bool = True
    boilerplate_pages: int = Field(4, ge=2)
    boilerplate_share: float = Field(0.05, ge=0.0, le=1.0)
    # From so many words on a repeated line stays on the best page only. Shorter ones go where they stand in a page's
    # header or footer, with nothing but repeated lines between them and the edge: "Ingredients" in the middle of every
    # recipe of a site is structure.
    sentence_words: int = Field(8, ge=1)
    # A document that lost lines and has fewer words left is dropped. Below Gopher's 50 for whole pages, for what is
    # left here is the page's own: course pages of 1996 with 40 words of description were worth keeping.
    min_words_left: int = Field(30, ge=0)

    # The run stops above this share of documents lost, and warns above the others [BFF once deleted 90-98%: dclm#83;
    # 859,092 rows collapsed into 2: marin#6854].
    max_loss: float = Field(0.95, ge=0.0, le=1.0)
    warn_loss: float = Field(0.5, ge=0.0, le=1.0)
    warn_group: int = Field(10_000, ge=2)

    # Bytes of keys that one partition's worker holds; it needs about six times as much while it sorts them.
    partition_bytes: int = Field(64_000_000, ge=1_000)

    @model_validator(mode="after")
    def _text_is_never_lost(self) -> DeduplicateSettings:
        # A page that keeps the only copy of a long paragraph must not be dropped for having too little left.
        if self.min_words_left > self.paragraph_words:
            raise ValueError(
                f"min_words_left ({self.min_words_left}) must not exceed paragraph_words ({self.paragraph_words}): "
                "the page on which a repeated paragraph is kept could be dropped, and the paragraph with it"
            )
        return self

    @property
    def signature_rows(self) -> int:
        return self.bands * self.rows
