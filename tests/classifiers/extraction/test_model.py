"""The shipped model: it loads, chooses the same on every machine, and refuses another's features."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from classifiers.artifacts import MANIFEST, ArtifactError, default_folder, digest_of
from classifiers.extraction.blocks import read_blocks
from classifiers.extraction.features import FEATURES, PAGE_FEATURES, block_features
from classifiers.extraction.model import PAGE_TYPES, load_extraction_model
from classifiers.extraction.names import NameWeights
from classifiers.extraction.parse_html import parse_html
from tests.conftest import ROOT
from tests.minicrawl.kept import stories, unusual_pages

DIGEST = """
from hashlib import sha256
from classifiers.extraction.model import load_extraction_model
from tests.classifiers.extraction.test_model import pages
from classifiers.extraction.features import block_features
model, digest = load_extraction_model(), sha256()
for blocks, url in pages():
    columns, page, sizes = block_features(blocks, url, model.names)
    main = model.find_main_content(blocks, url)
    for part in (columns.tobytes(), page.tobytes(), sizes.tobytes(), main.choice.chosen.tobytes()):
        digest.update(part)
    digest.update(repr((main.page_type, main.choice.expected_f1.hex(), main.choice.kept_share.hex())).encode())
print(digest.hexdigest())
"""


def pages():
    """Blocks and URLs of the mini-crawl's good pages."""
    for capture in [*stories()[:20], *unusual_pages()]:
        tree, _ = parse_html(capture.body)
        if tree is not None:
            yield read_blocks(tree), capture.url


def digest(**environment: str) -> str:
    variables = {**os.environ, **environment}
    done = subprocess.run(
        [sys.executable, "-c", DIGEST], cwd=ROOT, env=variables, check=True, capture_output=True, text=True
    )
    return done.stdout


def test_features_and_choices_do_not_depend_on_the_processor() -> None:
    """NumPy without the vector instructions of this processor, as on an older one."""
    features = [name for name, found in np._core._multiarray_umath.__cpu_features__.items() if found]  # type: ignore[attr-defined]
    baseline = set(np._core._multiarray_umath.__cpu_baseline__)  # type: ignore[attr-defined]
    dispatched = set(np._core._multiarray_umath.__cpu_dispatch__)  # type: ignore[attr-defined]
    disabled = [name for name in features if name in dispatched and name not in baseline]
    assert digest() == digest(NPY_DISABLE_CPU_FEATURES=" ".join(disabled))


def test_features_have_names_and_are_numbers() -> None:
    model = load_extraction_model()
    for blocks, url in pages():
        columns, page, sizes = block_features(blocks, url, model.names)
        assert columns.shape == (len(FEATURES), len(blocks.texts))
        assert page.shape == (len(PAGE_FEATURES),)
        assert np.isfinite(columns).all()
        assert np.isfinite(page).all()
        assert (sizes >= 4).all()


def test_a_page_without_text_has_no_main_content() -> None:
    tree, _ = parse_html(b"<html><body><img src=x></body></html>")
    assert tree is not None
    main = load_extraction_model().find_main_content(read_blocks(tree), "https://a.example/")
    assert not main.choice.chosen.any()
    assert main.page_type in PAGE_TYPES


def test_features_of_a_block_do_not_depend_on_other_pages() -> None:
    (blocks, url), *_ = pages()
    fresh, used = NameWeights({"post": 3}), NameWeights({"post": 3})
    for other, other_url in pages():
        block_features(other, other_url, used)
    assert np.array_equal(block_features(blocks, url, fresh)[0], block_features(blocks, url, used)[0])


def test_a_model_of_other_features_is_refused(tmp_path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(default_folder("extraction"), folder)
    path = folder / "features.json"
    path.write_text(path.read_text().replace("path_score", "other_score", 1))
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["files"]["features.json"] = digest_of(path)
    (folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(ArtifactError, match="reads other features than this code computes: train it again"):
        load_extraction_model(folder)


def test_the_features_grow_linearly() -> None:
    """Twice the elements, nested or in a row, cost twice the array elements: no pairs of blocks or elements."""
    for html in ("<div class=a>x y z.</div>" * 5000, ("<div>" * 200 + "deep" + "</div>" * 200) * 30):
        tree, _ = parse_html(f"<html><body>{html}".encode())
        assert tree is not None
        blocks = read_blocks(tree)
        columns, _, _ = block_features(blocks, "https://a.example/", NameWeights({}))
        assert columns.shape[1] == len(blocks.texts)
