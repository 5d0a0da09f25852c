"""The receipt of a removal: what was asked, what was found where, and hashes before and after.

It is for the person who asked and for the trainer (`gristmill train trace --documents`). It holds no removed text: of a
text that was asked for, its number of words and a digest.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline import storage
from pipeline.errors import UserError
from pipeline.lists.suppressions import SelectorKind
from pipeline.publishing.provenance import versions
from pipeline.release.remove import Removal, kinds_of
from pipeline.release.selectors import Request, Selector
from pipeline.text import tokenize

FORMAT = 1


def make_receipt(request: Request, found: Mapping[str, Removal], stores: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """JSON values. `documents` are the ids of all removed documents, which training may have seen."""
    return {
        "receipt": FORMAT,
        "gristmill": versions()["gristmill"],
        "asked": [_describe(selector) for selector in request.selectors],
        "outputs": [_describe_output(output, removal) for output, removal in found.items()],
        "token_stores": list(stores),
        "documents": sorted({document for removal in found.values() for document in removal.documents}),
    }


def check_receipt(path: str) -> None:
    """Raises UserError where another file would be replaced by the receipt."""
    if storage.exists(path):
        try:
            found = json.loads(storage.read_bytes(path))
        except ValueError:
            found = None
        if not (isinstance(found, dict) and "receipt" in found):
            raise UserError(f"--receipt {path}: is a file, and no receipt of `gristmill remove`; choose another name")


def _describe(selector: Selector) -> dict[str, Any]:
    digest = selector.to_suppression().digest
    if selector.kind is SelectorKind.TEXT:
        return {"kind": "text", "words": len(tokenize(selector.value)), "digest": digest}
    return {"kind": str(selector.kind), "value": selector.value, "digest": digest}


def _describe_output(output: str, removal: Removal) -> dict[str, Any]:
    return {
        "output": output,
        "content_hash": {"before": removal.before, "after": removal.after or removal.before},
        "documents": len(removal.documents),
        "dropped_pages": len(removal.pages),
        "words": removal.words,
        "found_by": kinds_of(removal),
        "ids": {"documents": sorted(removal.documents), "dropped_pages": sorted(removal.pages)},
        "files": removal.files,
        "reweighed": removal.reweighed,
    }
