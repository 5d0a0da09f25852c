"""What to set where a stage or rule dropped pages that should be kept: shown beside each loss in the report."""

from __future__ import annotations

from pipeline.stages.filter_heuristics import FAMILIES

_BY_STAGE = {
    "read_warc": "read_warc.statuses and read_warc.keep_truncated choose what counts as a page",
    "read_documents": "read_documents.text and read_documents.html name the fields with text;"
    " read_documents.max_text_bytes and read_documents.max_line_bytes limit its size",
    "suppress": "pages that were removed on request; suppress.lists names the lists",
    "block_urls": "block_urls.allowed_hosts lists hosts that no rule blocks",
    "quick_look": "quick_look.enabled = false sends every page to the extractor",
    "extract_text": "extract_text.min_characters is the least text of a page; extract_text.engine chooses the library",
    "check_rights": "check_rights.drop lists the opt-outs that drop a page; the others are only recorded",
    "identify_language": "identify_language.languages and identify_language.min_score decide",
    "scrub_pii": "scrub_pii.max_finds and scrub_pii.max_finds_per_1000_words decide; off keeps such pages",
    "decontaminate": "decontaminate.sets names the evaluation sets;"
    " decontaminate.overlap is the share of an item that drops a page",
    "score_quality": "score_quality.min_score and score_quality.min_education decide",
    "tag_domain": "tag_domain.drop and tag_domain.max_harm decide",
    "custom_rules": "the functions that custom_rules.filters and custom_rules.scorers name decide",
    "page_process": "page_process.cpu_seconds and page_process.memory_bytes are the limits of one page",
    "deduplicate": "the table deduplicate decides; the samples below show pairs",
}
_BY_REASON = {
    ("check_rights", "license"): "publish.licenses lists the licenses that are published",
    ("custom_rules", "failed"): "the function that the samples below name raised an error: mend it",
    ("read_documents", "unreadable"): "the lines or rows are damaged: write the file again",
    ("read_warc", "unreadable"): "the bytes are damaged: fetch the file again",
    (
        "read_warc",
        "wrong_digest",
    ): "the file is damaged, or not the one that the index lists: fetch it again",
    **{
        ("filter_heuristics", str(rule.reason)): f"filter_heuristics.{family}.{rule.setting} = off keeps such pages"
        for family, rules in FAMILIES.items()
        for rule in rules
    },
}


def advice(stage: str, reason: str = "") -> str:
    """One line, "" where there is nothing to set.

    >>> advice("score_quality")
    'score_quality.min_score and score_quality.min_education decide'
    """
    return _BY_REASON.get((stage, reason), "" if reason else _BY_STAGE.get(stage, ""))
