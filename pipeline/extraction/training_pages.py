"""Pages for training the classifiers, extracted by the pipeline's own engine: the models read in training what they
will read in a run.
"""

from __future__ import annotations

from classifiers.artifacts import default_folder, load_artifact
from classifiers.data.page_text import ExtractedPage, markup_signs
from classifiers.extraction.features import FEATURE_VERSION
from classifiers.extraction.model import NAME, PAGE_TYPES, load_extraction_model
from pipeline.documents import Page
from pipeline.extraction.parsed_page import PageRefusedError, parse_page
from pipeline.extraction.render_nodes import render
from pipeline.text import bound_white_space

_VERSION = 7  # of the code here and of the renderer
_MAX_BYTES, _MAX_NODES = 10_000_000, 100_000
_BOILERPLATE_CHARACTERS = 20_000  # of a page; menus of directories have megabytes


class TrainingPageExtractor:
    """The learned engine with its default settings, for `classifiers.data`."""

    def __init__(self) -> None:
        self._model = load_extraction_model()

    @property
    def version(self) -> str:
        model = load_artifact(default_folder(NAME), NAME, FEATURE_VERSION).manifest
        return f"learned {_VERSION} {model.version}"

    def __call__(self, content: bytes, charset: str | None, url: str) -> ExtractedPage | None:
        """None for a page that extract_text would drop for its size, depth or lack of text."""
        page = Page(url, "", "", 0, content, http_charset=charset)
        try:
            parsed = parse_page(page, _MAX_BYTES, _MAX_NODES)
        except PageRefusedError:
            return None
        blocks = parsed.blocks
        main = self._model.find_main_content(blocks, url)
        chosen = main.choice.chosen.tolist()
        text, counts = render(blocks, chosen)
        if not (text := bound_white_space(text)):
            return None
        boilerplate, _ = render(blocks, [not taken for taken in chosen])
        signals = {
            "page_type": float(PAGE_TYPES.index(main.page_type) + 1),
            "expected_f1": main.choice.expected_f1,
            "kept_share": main.choice.kept_share,
            "dom_nodes": float(parsed.elements),
            "html_bytes": float(len(content)),
            "text_lists": float(counts.lists),
            "text_tables": float(counts.tables),
            "text_code": float(counts.code),
            "text_formulas": float(counts.formulas),
        }
        markup = markup_signs(blocks.nodes[0].getroottree().getroot()) if blocks.nodes else ""
        return ExtractedPage(parsed.title, text, boilerplate[:_BOILERPLATE_CHARACTERS], markup, signals)
