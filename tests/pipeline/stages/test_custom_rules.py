"""One's own filters and scorers: their results, and what happens when they fail or cannot be imported."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from pipeline.config import Config
from pipeline.documents import Document, Dropped
from pipeline.errors import UserError
from pipeline.publishing.provenance import file_digests
from pipeline.stages.custom_rules import CustomRulesReason, CustomRulesSettings, build

RULES = """
from dataclasses import dataclass

def too_short(document):
    return "under_five_words" if len(document.text.split()) < 5 else None

def ease(document):
    return len(document.text) / 10

def seen_ease(document):
    return "hard" if document.signals["ease"] > 5 else None

def failing(document):
    return 1 / 0

def wrong(document):
    return True

def personal(document):
    return document.text

def nothing(document):
    return float("nan")

class Nested:
    def rule(document):
        return None

number = 5
"""
DOCUMENT = Document("ab" * 16, "http://example.org/", "", "a", 0, "", "", "", "five words are enough here")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "own_rules.py").write_text(RULES)
    (tmp_path / "broken_rules.py").write_text("import no_such_module_anywhere\n")
    (tmp_path / "raising_rules.py").write_text("raise RuntimeError('no')\n")
    (tmp_path / "own_package/inner").mkdir(parents=True)
    (tmp_path / "own_package/__init__.py").write_text("")
    (tmp_path / "own_package/inner/__init__.py").write_text("from own_package.helper import too_long\n")
    (tmp_path / "own_package/helper.py").write_text("def too_long(document):\n    return None\n")
    yield tmp_path
    sys.path[:] = [entry for entry in sys.path if entry != str(tmp_path)]
    for name in [name for name in sys.modules if name.partition(".")[0].endswith(("_rules", "own_package"))]:
        del sys.modules[name]


def run(folder: Path, document: Document = DOCUMENT, **names: list[str]) -> Document | Dropped:
    paths = {kind: [f"own_rules:{name}" for name in found] for kind, found in names.items()}
    return build(CustomRulesSettings.model_validate({"folder": folder, **paths}))(document)


def test_a_filter_drops_for_its_reason(folder):
    assert run(folder, filters=["too_short"]) == DOCUMENT
    short = replace(DOCUMENT, text="four words only here")
    found = run(folder, short, filters=["too_short"])
    assert found == Dropped(short, "custom_rules", "under_five_words", detail="own_rules:too_short")


def test_a_scorer_adds_a_signal_that_filters_see(folder):
    found = run(folder, scorers=["ease"])
    assert found.signals == {"ease": 2.6}
    dropped = run(folder, replace(DOCUMENT, text="x" * 60), scorers=["ease"], filters=["too_short", "seen_ease"])
    assert (dropped.reason, dropped.record.signals) == ("under_five_words", {"ease": 6.0})


@pytest.mark.parametrize(
    ("kind", "name", "detail"),
    [
        ("filters", "failing", "own_rules:failing: ZeroDivisionError: division by zero"),
        ("filters", "wrong", "own_rules:wrong: ValueError: returned True; a filter returns None or a reason"),
        ("filters", "personal", "own_rules:personal: ValueError: returned 'five words are"),  # text is no reason
        ("scorers", "nothing", "own_rules:nothing: ValueError: returned nan"),
        ("scorers", "failing", "ZeroDivisionError"),
    ],
)
def test_a_failing_function_fails_the_page_and_says_why(folder, kind, name, detail):
    found = run(folder, **{kind: [name]})
    assert found.reason == CustomRulesReason.FAILED
    assert detail in found.detail


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("no_such_rules:f", "the module is neither in .* nor installed"),
        ("own_rules.inner:f", "the module is neither in"),
        ("own_rules:too_shrt", r"there is no too_shrt; did you mean too_short\?"),
        ("own_rules:number", "a int, not a function"),
        ("own_rules:Nested.rul", "there is no rul"),
        ("broken_rules:f", "the module needs no_such_module_anywhere, which is not installed"),
        ("raising_rules:f", "the import failed: RuntimeError: no"),
    ],
)
def test_an_unusable_path_is_one_clear_line(folder, path, message):
    with pytest.raises(UserError, match=message):
        build(CustomRulesSettings(filters=(path,), folder=folder))
    with pytest.raises(UserError, match=r"name its folder by --set custom_rules\.folder=FOLDER"):
        build(CustomRulesSettings(filters=("uninstalled_rules:f",)))


@pytest.mark.parametrize("path", ["rules", "a:b:c", "../rules:f", "rules:", "a b:c", "a.b:1"])
def test_other_spellings_are_refused(path):
    with pytest.raises(ValidationError, match="is no import path"):
        CustomRulesSettings(filters=(path,))


def test_names_must_be_new():
    with pytest.raises(ValidationError, match="two functions are named f"):
        CustomRulesSettings(scorers=("a:f", "b:f"))
    with pytest.raises(ValidationError, match="gopher_words is the name of a signal already"):
        Config.model_validate({"custom_rules": {"scorers": ["own:gopher_words"]}})


def test_the_source_is_part_of_the_fingerprint(folder):
    def digests(*paths: str) -> dict[str, str]:
        rules = CustomRulesSettings(filters=paths, folder=folder)
        return {k: v for k, v in file_digests(Config(custom_rules=rules)).items() if k.startswith("custom_rules")}

    before = digests("own_rules:too_short", "own_package.inner:too_long")
    assert set(before) == {"custom_rules:own_rules:too_short", "custom_rules:own_package.inner:too_long"}
    source = hashlib.sha256((folder / "own_rules.py").read_bytes()).hexdigest()
    expected = hashlib.sha256(f"own_rules.py\0{source}\0".encode()).hexdigest()
    assert before["custom_rules:own_rules:too_short"] == expected
    (folder / "own_package/helper.py").write_text("def too_long(document):\n    return 'long'\n")
    after = digests("own_rules:too_short", "own_package.inner:too_long")
    assert after["custom_rules:own_rules:too_short"] == expected
    assert after["custom_rules:own_package.inner:too_long"] != before["custom_rules:own_package.inner:too_long"]
