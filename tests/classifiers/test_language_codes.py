"""One code for a language, whatever the identifier calls it; fastText files of the user's are loaded as they are."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from string import ascii_lowercase

import fasttext
import pytest

from classifiers.artifacts import default_folder
from classifiers.language import load_language_model
from classifiers.language_codes import code_of, have_scripts
from pipeline.config import load_config
from pipeline.documents import Document, Dropped, Page
from pipeline.errors import UserError
from pipeline.extraction.parsed_page import ParsedPage
from pipeline.stages import extract_text, quick_look
from pipeline.stages.identify_language import IdentifyLanguageSettings, build, files

# Labels of GlotLID v3 and OpenLID v2, with the codes by which lid.176 knows the languages.
LABELS = {
    "eng_Latn": "en", "deu_Latn": "de", "cmn_Hani": "zh", "zho_Hans": "zh", "zho_Hant": "zh", "arb_Arab": "ar",
    "ekk_Latn": "et", "lvs_Latn": "lv", "nob_Latn": "no", "nno_Latn": "nn", "zsm_Latn": "ms", "swh_Latn": "sw",
    "pes_Arab": "fa", "als_Latn": "sq", "gsw_Latn": "als", "ckb_Arab": "ckb", "hrv_Latn": "hr", "srp_Cyrl": "sr",
    "npi_Deva": "ne", "bho_Deva": "bh", "khk_Cyrl": "mn", "ydd_Hebr": "yi", "fil_Latn": "tl", "uzn_Latn": "uz",
}  # fmt: skip
SENTENCES = {
    "eng_Latn": ["the mill stands by the river", "we walked to the old bridge", "rain fell on the fields"],
    "deu_Latn": ["die mühle steht am fluss", "wir gingen zur alten brücke", "regen fiel auf die felder"],
    "zho_Hans": ["磨 坊 在 河 边", "我 们 走 到 旧 桥", "雨 落 在 田 里"],
    "zho_Hant": ["磨 坊 在 河 邊", "我 們 走 到 舊 橋", "雨 落 在 田 裡"],
    "szl_Latn": [
        "nasz młynorz mo stary młyn",
        "i miele zboże dlo wszystkich gospodarzy ze wsi",
        "młyn stoji przi rzyce",
    ],
}


@pytest.mark.parametrize(("label", "code"), sorted(LABELS.items()))
def test_labels_with_scripts_become_the_codes_of_lid_176(label: str, code: str) -> None:
    assert code_of(label, True) == code
    assert code in load_language_model().labels


def test_every_other_code_is_one_of_lid_176() -> None:
    labels = set(load_language_model().labels)
    changed = {code_of(f"{code}_Latn", True) for code in map("".join, product(ascii_lowercase, repeat=3))}
    assert {code for code in changed if len(code) == 2} <= labels
    assert [code_of(label, True) for label in ("fij_Latn", "nav_Latn", "szl_Latn")] == ["fij", "nav", "szl"]


def test_the_labels_of_lid_176_stay() -> None:
    labels = list(load_language_model().labels)
    assert not have_scripts(labels)
    assert [code_of(label, False) for label in labels] == labels
    assert have_scripts(list(LABELS))


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model with labels as GlotLID and OpenLID have them."""
    folder = tmp_path_factory.mktemp("lid")
    lines = [f"__label__{label} {line}" for label, known in SENTENCES.items() for line in known * 20]
    (folder / "lines.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    model = fasttext.train_supervised(
        str(folder / "lines.txt"), epoch=30, lr=0.5, dim=8, minn=1, maxn=3, bucket=2_000, thread=1, seed=1, verbose=0
    )
    model.save_model(str(folder / "own.bin"))
    return folder / "own.bin"


def test_a_fasttext_file_is_a_language_model(model_file: Path) -> None:
    model = load_language_model(model_file)
    assert model.labels == ("de", "en", "szl", "zh")
    language, score = model.identify("磨 坊 在 河 边 我 們 走 到 舊 橋")
    assert language == "zh"
    assert score > 0.8  # the two scripts of one language add up


def test_the_stage_reads_and_hashes_the_file(model_file: Path) -> None:
    settings = IdentifyLanguageSettings(model=model_file, languages=("de",))
    assert files(settings) == [model_file]
    stage = build(settings)

    def document(text: str) -> Document:
        return Document("0" * 32, "u", "t", "f", 0, "h", "h", "", text)

    kept = stage(document("die mühle steht am fluss und wir gingen zur alten brücke"))
    assert isinstance(kept, Document)
    assert kept.language == "de"
    dropped = stage(document("the mill stands by the river and we walked to the old bridge"))
    assert isinstance(dropped, Dropped)
    assert dropped.detail == "en"


def test_a_language_that_only_the_users_model_knows_passes_quick_look(model_file: Path) -> None:
    text = "Nasz młynorz mo stary młyn i miele zboże dlo wszystkich gospodarzy ze wsi. " * 12
    page = Page("http://example.org/", "2026-01-01T00:00:00Z", "a.warc.gz", 0, f"<p>{text}</p>".encode())
    config = load_config(None, [f"identify_language.model={model_file}", "identify_language.languages=szl"])
    parsed = quick_look.build(config.quick_look)(page)
    assert isinstance(quick_look.build(quick_look.QuickLookSettings(languages=("en",)))(page), Dropped)  # as Polish
    assert isinstance(parsed, ParsedPage)
    document = extract_text.build(config.extract_text)(parsed)
    assert isinstance(document, Document)
    kept = build(config.identify_language)(document)
    assert isinstance(kept, Document)
    assert kept.language == "szl"


def test_quick_look_knows_the_languages_of_lid_176_alone(model_file: Path) -> None:
    with pytest.raises(UserError, match=r"quick_look\.languages: the model knows no language 'szl'"):
        load_config(None, [f"identify_language.model={model_file}", "quick_look.languages=szl"])


def test_a_rerun_with_the_shipped_model_takes_the_languages_over_again(model_file: Path) -> None:
    own = load_config(None, [f"identify_language.model={model_file}", "identify_language.languages=en"])
    assert own.quick_look.languages == ()
    shipped = f"identify_language.model={default_folder('language')}"
    assert load_config(None, [shipped], base=own.model_dump(mode="json")).quick_look.languages == ("en",)
