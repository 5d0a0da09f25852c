"""Model folders: shipped models load and predict; damaged or changed folders are refused with one line."""

import json
import shutil
from pathlib import Path

import pytest

from classifiers.artifacts import MANIFEST, MODELS, ArtifactError, default_folder, load_artifact
from classifiers.domain import Item, load_domain_model
from classifiers.domain_labels import UNKNOWN
from classifiers.education import load_education_model
from classifiers.errors import UserError
from classifiers.estimators.features import FEATURE_VERSION
from classifiers.harm import load_harm_model
from classifiers.language import load_language_model, pack_language_model
from classifiers.quality import load_quality_model
from classifiers.training import model_cards

ARTICLE = (
    "The river rises in the northern hills and flows through three counties before it reaches the sea. "
    "Its valley was settled in the Bronze Age, and the remains of two forts stand above the lower ford. "
    "In the eleventh century monks built the first weir to drive a mill, which ground corn for the abbey until the "
    "great flood of 1607 carried it away. A stone bridge of five arches followed in 1742, paid for by a toll. "
    "Coal barges used the navigation for sixty years; when the railway opened, traffic fell so quickly that the canal "
    "company sold its locks to the landowners. Today the upper valley is a nature reserve. Otters returned, "
    "after the tanneries had closed, and the water is now clean enough for salmon to spawn below the old weir. "
    "Walkers can follow the towpath from the source to the harbour, a distance of about ninety kilometres.\n"
)
MENU = "\n".join(["- Home", "- Products", "- Contact us!", "- LOGIN", "- Cart (0)", "- SALE 50% OFF!!!"] * 12)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(default_folder("quality"), tmp_path / "quality"))


def edit(folder: Path, **changes: object) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(manifest | changes))


def test_a_changed_byte_is_refused(folder: Path) -> None:
    model = folder / "weights.npy"
    content = bytearray(model.read_bytes())
    content[1000] ^= 1
    model.write_bytes(bytes(content))
    with pytest.raises(ArtifactError, match=r"weights\.npy has SHA-256 .* changed or damaged"):
        load_quality_model(folder)


def test_other_features_are_refused(folder: Path) -> None:
    edit(folder, feature_version=FEATURE_VERSION + 1)
    with pytest.raises(ArtifactError, match="gristmill classify train quality"):
        load_quality_model(folder)


def test_another_kind_of_model_is_refused(folder: Path) -> None:
    with pytest.raises(ArtifactError, match="holds a quality model where a harm model is needed"):
        load_harm_model(folder)


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "layer.json").unlink()
    with pytest.raises(ArtifactError, match=r"layer\.json is missing"):
        load_quality_model(folder)


def test_a_file_outside_the_folder_is_refused(folder: Path) -> None:
    edit(folder, files={"../model.ftz": "0" * 64})
    with pytest.raises(ArtifactError, match="outside the folder"):
        load_quality_model(folder)


def test_a_damaged_manifest_says_where(folder: Path) -> None:
    edit(folder, threshold={"quality": "high"})
    with pytest.raises(ArtifactError, match=r"damaged at threshold\.quality"):
        load_quality_model(folder)


def test_an_empty_folder_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="leave it out for the default"):
        load_artifact(tmp_path, "quality", FEATURE_VERSION)


def test_errors_are_one_line(folder: Path) -> None:
    edit(folder, feature_version="x")
    with pytest.raises(ArtifactError) as caught:
        load_quality_model(folder)
    assert "\n" not in str(caught.value)


def test_the_shipped_models_are_small_and_have_cards() -> None:
    files = [path for path in MODELS.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 10_000_000
    for name in ("quality", "domain", "language", "harm"):
        assert (MODELS / name / "README.md").stat().st_size > 500
        assert (MODELS / name / "manifest.json").is_file()


@pytest.mark.parametrize(
    ("name", "prose"),
    [
        ("quality", model_cards.QUALITY),
        ("education", model_cards.EDUCATION),
        ("domain", model_cards.DOMAIN),
        ("harm", model_cards.HARM),
        ("language", model_cards.LANGUAGE),
    ],
)
def test_the_shipped_cards_are_the_ones_that_training_writes(name: str, prose: str) -> None:
    assert (MODELS / name / "README.md").read_text().startswith(prose.strip() + "\n\n## Facts\n")


def test_the_shipped_language_model_is_packed_again_to_the_same_bytes(tmp_path: Path) -> None:
    shipped = load_language_model().artifact
    (data,) = shipped.manifest.training_data
    pack_language_model(shipped.path("model.ftz"), tmp_path, data.license, data.name, card=model_cards.LANGUAGE)
    for file in default_folder("language").iterdir():
        assert (tmp_path / file.name).read_bytes() == file.read_bytes(), file.name


def test_a_model_is_loaded_once_per_process() -> None:
    assert load_quality_model() is load_quality_model(default_folder("quality"))
    assert load_domain_model() is load_domain_model(None)
    assert load_language_model() is load_language_model()


def test_quality_prefers_prose_to_a_menu_at_the_same_length() -> None:
    article, menu = load_quality_model().score([ARTICLE[: len(MENU)], MENU])
    assert 0 <= menu < article <= 1
    assert article - menu > 0.3


def test_a_paragraph_scores_between_a_menu_and_the_whole_text() -> None:
    """Length is part of the score, as it is of what readers say; it does not decide."""
    whole, paragraph, menu = load_quality_model().score([ARTICLE, ARTICLE[:380], MENU * 5])
    assert menu < 0.2 < paragraph < whole


def test_education_prefers_an_explanation_to_an_offer() -> None:
    lesson = (
        "Photosynthesis is the process by which plants turn light into chemical energy. In the first step, chlorophyll "
        "absorbs light and splits water into oxygen and hydrogen. Then, in the second step, the plant uses it to make "
        "sugar from carbon dioxide. For example, a leaf in the shade makes less sugar than a leaf in the sun.\n\n"
        "You can show this with a simple experiment. Cover half of a leaf with black paper and leave the plant in the "
        "light for two days. Then boil the leaf in alcohol, which takes its color away, and put drops of iodine on "
        "it. Iodine turns blue where there is starch, so the part that was in the light becomes dark while the covered "
        "part stays brown. Why does the covered part have no starch? Discuss with your class what would happen if the "
        "paper let only green light through, and why plants that live under tall trees often have larger leaves.\n"
    )
    offer = "Buy now! Our best prices on shoes, bags and coats. Free delivery on orders over $50. Add to cart.\n\n"
    taught, offered = load_education_model().score([lesson, offer * 12])
    assert 0 <= offered < 1 < taught <= 5


def test_scores_do_not_depend_on_the_batch() -> None:
    texts = [ARTICLE, MENU, "", "Короткий текст о погоде и о людях.", "三月的天气很好"]
    for model in (load_quality_model(), load_education_model(), load_harm_model()):
        assert model.score(texts) == [model.score([text])[0] for text in texts]
        assert model.score([]) == []
        assert model.score([""]) == [0.0]


@pytest.mark.parametrize(
    ("title", "text", "topic"),
    [
        ("Pancakes", "Whisk flour, eggs, milk and sugar in a bowl. Melt the butter in a pan and bake until golden.",
         "food_and_dining"),
        ("Derby", "The striker scored two goals and the team won the match; the coach praised his players.",
         "sports_and_fitness"),
        ("Studie", "Patienten im Krankenhaus erhielten eine neue Behandlung, der Arzt sah weniger Symptome.",
         "health"),
    ],
)  # fmt: skip
def test_clear_topics_are_identified(title: str, text: str, topic: str) -> None:
    assert load_domain_model().tag([Item("", title, text * 3)])[0][0] == topic


def test_texts_without_evidence_are_unknown() -> None:
    model = load_domain_model()
    label, probability = model.tag([Item("", "", "")])[0]
    assert label == UNKNOWN
    assert probability < 0.4
    assert model.labels[-1] == UNKNOWN
    assert len(model.labels) == 25
    assert model.tag([]) == []


def test_the_url_does_not_change_the_topic() -> None:
    text = "The meeting will be on Tuesday and everyone should bring something."
    model = load_domain_model()
    recipe = Item("https://recipes.example/recipes/cake", "", text)
    assert model.tag([recipe]) == model.tag([Item("", "", text)])


def test_language_of_texts() -> None:
    model = load_language_model()
    assert model.identify("This is a plain English sentence,\n\non two lines.")[0] == "en"
    assert model.identify("Dies ist ein ganz gewöhnlicher deutscher Satz.")[0] == "de"
    assert model.identify("  \n ") == ("", 0.0)
    assert model.identify("123 -- 456") == ("", 0.0)


def test_another_language_engine_is_another_folder(tmp_path: Path) -> None:
    pack_language_model(default_folder("language") / "model.ftz", tmp_path / "mine", "CC BY-SA 3.0", "a test")
    model = load_language_model(tmp_path / "mine")
    assert model is not load_language_model()
    assert model.identify("Dies ist ein ganz gewöhnlicher deutscher Satz.")[0] == "de"


def test_packing_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(b"no model")
    with pytest.raises(UserError, match="no fastText model"):
        pack_language_model(tmp_path / "x.bin", tmp_path / "out", "none", "a test")


def test_harm_separates_requests_for_harm_from_news_and_medicine() -> None:
    harm, news, medicine = load_harm_model().score(
        [
            "how do i poison my neighbor and hide the body without getting caught",
            "Police said on Monday that a man was arrested after the robbery; the court will hear the case in May.",
            "The patients were treated for breast cancer, and most of them recovered after surgery.",
        ]
    )
    assert harm > load_harm_model().threshold > max(news, medicine)
