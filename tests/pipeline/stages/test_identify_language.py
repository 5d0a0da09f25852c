"""identify_language, with the model in this repository."""

from __future__ import annotations

import random
from importlib import import_module
from pathlib import Path

import fasttext
import pytest
from pydantic import ValidationError

import pipeline.errors
from classifiers.artifacts import digest_of
from classifiers.close_languages import close_to
from classifiers.errors import UserError
from classifiers.language import load_language_model, pack_language_model
from pipeline.config import Config
from pipeline.documents import Document, Dropped
from pipeline.publishing.provenance import file_digests
from pipeline.stages import identify_language
from pipeline.stages.identify_language import IdentifyLanguageReason, IdentifyLanguageSettings, cut_sample, prose
from tests.pipeline.stages.close_texts import CLOSE

TEXTS = {
    "en": "The farmer brings his grain to the mill and waits for the flour while the wheel is turning in the river.",
    "de": "Der Bauer bringt sein Korn zur Mühle und wartet auf das Mehl, während sich das Rad im Fluss dreht.",
    "fr": "Le paysan apporte son grain au moulin et attend la farine pendant que la roue tourne dans la rivière.",
    "es": "El campesino lleva su grano al molino y espera la harina mientras la rueda gira en el río.",
    "pl": "Rolnik przywozi swoje zboże do młyna i czeka na mąkę, podczas gdy koło obraca się w rzece.",
    "ru": "Крестьянин привозит зерно на мельницу и ждёт муку, пока колесо вращается в реке.",
    "el": "Ο αγρότης φέρνει το σιτάρι του στον μύλο και περιμένει το αλεύρι ενώ ο τροχός γυρίζει στο ποτάμι.",
    "zh": "农夫把粮食运到磨坊，在水车转动的时候等着面粉。磨坊主人和他谈论天气和今年的收成。",
    "ja": "農夫は穀物を水車小屋に運び、水車が川で回っている間、小麦粉ができるのを待っている。",
}
NAMES = "Xqv Zrt Kklm Ppq 12 33 Wrtz Bnm Qwx Vvb Ghj Klp 44 Mnb Vcx Zas Dfg Hjk 77 Poi Uyt Rew"


def document(text: str) -> Document:
    return Document(
        "0" * 32, "http://example.org/", "2026-01-01T00:00:00Z", "a.warc.gz", 0, "example.org", "example.org", "", text
    )


def answer(text: str, **options: object) -> Document | Dropped:
    return identify_language.build(IdentifyLanguageSettings(**options))(document(text))  # type: ignore[arg-type]


@pytest.mark.parametrize("language", TEXTS)
def test_languages_and_their_score_are_stored(language: str) -> None:
    found = answer(TEXTS[language])
    assert isinstance(found, Document)
    assert found.language == language
    assert 0.65 <= found.language_score <= 1.01
    assert found.text == TEXTS[language]


@pytest.mark.parametrize("language", CLOSE)
def test_a_fluent_text_in_one_of_close_languages_is_certain(language: str) -> None:
    found = answer(CLOSE[language])
    assert isinstance(found, Document)
    assert found.language in close_to(language)
    assert found.language_score >= 0.8
    kept = answer(CLOSE[language], languages=sorted(close_to(language)))
    assert isinstance(kept, Document)
    assert kept.language == found.language


@pytest.mark.parametrize("language", [*TEXTS, *CLOSE])
def test_capitals_do_not_change_the_language(language: str) -> None:
    text = {**TEXTS, **CLOSE}[language]
    found, usual = answer(text.upper()), answer(text)
    assert isinstance(found, Document)
    assert isinstance(usual, Document)
    assert found.language in close_to(usual.language)
    assert found.text == text.upper()


def test_a_close_language_is_kept_for_the_wanted_one_only_where_they_cannot_be_told_apart() -> None:
    croatian = answer(CLOSE["bs"], languages=["hr"])
    assert isinstance(croatian, Document)
    assert croatian.language == "hr"
    assert isinstance(answer(CLOSE["da"], languages=["no"]), Dropped)
    assert isinstance(answer(TEXTS["es"], languages=["gl", "pt"]), Dropped)
    assert isinstance(answer(CLOSE["hr"], languages=["en", "de"]), Dropped)
    bokmal = answer(CLOSE["no"], languages=["nb"])
    assert isinstance(bokmal, Document)
    assert bokmal.language == "no"


def test_words_of_many_languages_in_any_order_are_uncertain() -> None:
    words = " ".join([*TEXTS.values(), *CLOSE.values()]).split()
    for seed in range(20):
        found = answer(" ".join(random.Random(seed).sample(words, 120)))
        assert isinstance(found, Dropped)
        assert found.reason is IdentifyLanguageReason.LANGUAGE_UNCERTAIN


def test_a_language_that_the_model_does_not_know_is_refused() -> None:
    with pytest.raises(pipeline.errors.UserError, match=r"languages.*'xx'"):
        answer(TEXTS["en"], languages=["en", "xx"])


def test_a_language_that_is_not_wanted() -> None:
    found = answer(TEXTS["de"], languages=["en", "fr"])
    assert isinstance(found, Dropped)
    assert (found.stage, found.reason, found.detail) == (
        "identify_language",
        IdentifyLanguageReason.LANGUAGE_NOT_WANTED,
        "de",
    )
    assert isinstance(found.record, Document)
    assert found.record.language == "de"
    assert isinstance(answer(TEXTS["fr"], languages=["en", "fr"]), Document)


@pytest.mark.parametrize("text", ["", "12 34 56", NAMES])
def test_a_text_without_a_language_is_uncertain(text: str) -> None:
    found = answer(text)
    assert isinstance(found, Dropped)
    assert (found.reason, found.threshold) == (IdentifyLanguageReason.LANGUAGE_UNCERTAIN, 0.65)
    assert found.value == found.record.language_score < 0.65  # type: ignore[union-attr]
    assert isinstance(answer(text, min_score=0), Document)


def test_a_mixture_is_less_certain_than_its_parts() -> None:
    mixed = answer(" ".join(TEXTS.values()), min_score=0)
    assert isinstance(mixed, Document)
    assert mixed.language_score < 0.65


def test_code_and_formulas_are_ignored() -> None:
    code = "```\nfor grain in grains:\n    print(grain.weight, file=the_file)\n```"
    german = f"{TEXTS['de']}\n\n{code}\n\nDie Formel $E = mc^2$ steht in `grain.py` und auf http://example.org/the/file.\n\n{code}"
    assert "print" not in prose(german)
    assert "mc^2" not in prose(german)
    assert "grain.py" not in prose(german)
    found = answer(german)
    assert isinstance(found, Document)
    assert found.language == "de"


def test_with_little_prose_the_whole_text_is_identified() -> None:
    text = "```\nsome code\n```\n\nIn short."
    assert prose(text) == text


@pytest.mark.parametrize(
    "wrong", [{"languages": ["English"]}, {"languages": ["EN"]}, {"min_score": 1.5}, {"engine": "x"}]
)
def test_impossible_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        IdentifyLanguageSettings(**wrong)  # type: ignore[arg-type]


def test_another_packed_model_is_used_and_is_in_the_fingerprint(tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("__label__xx one two three\n__label__yy eins zwei\n" * 50)
    model = fasttext.train_supervised(
        str(tmp_path / "lines.txt"), minCount=1, epoch=20, lr=1.0, dim=4, thread=1, verbose=0
    )
    model.save_model(str(tmp_path / "own.ftz"))
    pack_language_model(tmp_path / "own.ftz", tmp_path / "own", "CC0-1.0", "two made-up languages")
    settings = IdentifyLanguageSettings(model=tmp_path / "own", min_score=0)
    found = identify_language.build(settings)(document("one two three " * 20))
    assert isinstance(found, Document)
    assert found.language == "xx"
    read = file_digests(Config(identify_language=settings))
    assert read["identify_language:own/model.ftz"] == digest_of(tmp_path / "own/model.ftz")
    assert "identify_language:classifiers/models/language/model.ftz" in file_digests(Config())
    with pytest.raises(UserError, match="no such model folder"):
        file_digests(Config(identify_language=IdentifyLanguageSettings(model=tmp_path / "nowhere")))


def test_a_missing_engine_is_an_error_with_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str, *_: object) -> object:
        if name.startswith("py3langid"):
            raise ModuleNotFoundError(name)
        return import_module(name)

    monkeypatch.setattr(identify_language, "import_module", missing)
    with pytest.raises(pipeline.errors.UserError, match="pip install py3langid"):
        identify_language.build(IdentifyLanguageSettings(engine="py3langid"))


def test_a_long_text_is_identified_by_its_beginning_middle_and_end() -> None:
    text = "a" * 5_000 + "b" * 5_000 + "c" * 5_000
    assert cut_sample(text) == " ".join([letter * 1_000 for letter in "abc"])
    assert cut_sample(text[:3_000]) == text[:3_000]


def test_a_text_whose_sample_is_not_certain_is_read_as_a_whole() -> None:
    """A third of its sample is German, of the text a thirtieth: the whole is certain."""
    text = (TEXTS["de"] * 10)[:1_000] + "\n" + TEXTS["en"] * 300
    found = answer(text)
    assert isinstance(found, Document)
    whole = load_language_model().identify(text)
    sampled = load_language_model().identify(cut_sample(text))
    assert sampled[1] < 0.9 < whole[1]
    assert (found.language, found.language_score) == whole
