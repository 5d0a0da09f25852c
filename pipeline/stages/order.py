"""The page stages in their order, and the measurements that they declare."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.stages import (
    block_urls,
    check_rights,
    custom_rules,
    decontaminate,
    extract_text,
    filter_heuristics,
    identify_language,
    quick_look,
    score_quality,
    scrub_pii,
    suppress,
    tag_domain,
)
from pipeline.stages.protocol import StageModule

# In flow order: cheap stages before costly ones.
PAGE_STAGES: Mapping[str, StageModule] = {
    "suppress": suppress,
    "block_urls": block_urls,
    "quick_look": quick_look,
    "extract_text": extract_text,
    "check_rights": check_rights,
    "identify_language": identify_language,
    "scrub_pii": scrub_pii,
    "filter_heuristics": filter_heuristics,
    "decontaminate": decontaminate,
    "score_quality": score_quality,
    "tag_domain": tag_domain,
    "custom_rules": custom_rules,
}

# Every stage that a drop can name, in flow order. `page_process` is the process that runs all page stages: it drops the
# pages on which one of them crashes or takes too long.
STAGES = ("read_warc", "read_documents", *PAGE_STAGES, "page_process", "deduplicate")


def signal_names() -> tuple[str, ...]:
    """Every measurement of every stage, in flow order: the fields of the column `signals`."""
    return tuple(dict.fromkeys(name for module in PAGE_STAGES.values() for name in module.SIGNALS))
