"""The configuration: files, overrides, error messages, and the copy that workers receive."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest

from pipeline.config import Config, load_config, to_toml
from pipeline.errors import UserError
from pipeline.rights.licenses import name_license, without_version
from pipeline.stages.filter_heuristics import FAMILIES
from tests.conftest import ROOT


def test_settings_missing_in_the_file_have_their_defaults(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text("[prepare]\nunit_bytes = 5\n[publish.weights]\nmax_repetition = 2\n")
    config = load_config(path)
    assert config.prepare.unit_bytes == 5
    assert config.publish.weights.max_repetition == 2
    assert config.deduplicate == Config().deduplicate


def test_overrides_replace_the_file_and_bare_words_are_strings(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text("[prepare]\nunit_bytes = 5\n")
    config = load_config(path, ["prepare.unit_bytes=7", "extract_text.engine=resiliparse"])
    assert (config.prepare.unit_bytes, config.extract_text.engine) == (7, "resiliparse")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[filter_heuristics]\nmin_wrods = 3\n", "filter_heuristics.min_wrods: unknown key"),
        ("[no_such_stage]\n", "no_such_stage: unknown key"),
        ("[prepare]\nunit_bytes = 'many'\n", "prepare.unit_bytes"),
        ("[prepare]\nmax_error_share = 1.5\n", "prepare.max_error_share"),
        ("[filter_heuristics.gopher]\nmin_words = 200000\n", "gopher: min_words (200000) is above max_words (100000)"),
        ("[publish.weights]\nmin_repetition = 5\n", "publish.weights: min_repetition (5) is above max"),
        ("[prepare\n", "run.toml"),
    ],
)
def test_an_error_names_the_path_of_the_setting(tmp_path, text, says):
    path = tmp_path / "run.toml"
    path.write_text(text)
    with pytest.raises(UserError, match="configuration") as caught:
        load_config(path)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_share_changes_one_domain_of_the_mixture(tmp_path):
    default = Config().publish.weights.shares
    path = tmp_path / "run.toml"
    path.write_text("[publish.weights.shares]\ngames = 50\n")
    for config in (load_config(path), load_config(None, ["publish.weights.shares.games=50"])):
        assert config.publish.weights.shares == {**default, "games": 50}
    dropped = load_config(path, ["publish.weights.shares.games=off"]).publish.weights.shares
    assert dropped == {**default, "games": None}
    assert set(load_config(None, ["publish.weights.shares=off"]).publish.weights.shares.values()) == {None}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("publish.weights.shares.gamez=50", "the model knows no domain 'gamez'; did you mean games?"),
        ("tag_domain.drop=adlut", "the model knows no domain 'adlut'; did you mean adult?"),
        ("quick_look.languages=xx", "the model knows no language 'xx'"),
        ("publish.weights.shares={games=many}", "put words in quotes"),
        ("publish.licenses=CC-BYY", "publish.licenses: no page can have the license 'CC-BYY'; did you mean CC-BY?"),
        ("publish.licenses=CC0,cc-by-sa-4.0", "'cc-by-sa-4.0'; did you mean CC-BY-SA?"),
        ("check_rights.licenses=MIT", "check_rights.licenses: no page can have the license 'MIT'; choose from CC-BY, "),
        ("check_rights.licenses=CC-BY-4", "'CC-BY-4'; did you mean CC-BY?"),
    ],
)
def test_a_name_that_no_model_knows_is_refused(change, says):
    with pytest.raises(UserError) as caught:
        load_config(None, [change])
    assert says in str(caught.value)
    assert change.partition("=")[0].removesuffix(".gamez") in str(caught.value)


def test_every_name_that_a_page_can_have_is_a_license():
    addresses = [f"licenses/{name}" for name in ("by", "by-sa", "by-nd", "by-nc", "by-nc-sa", "by-nc-nd", "by-nd-nc")]
    addresses += [f"publicdomain/{name}" for name in ("zero", "mark", "certification")]
    places = [f"https://creativecommons.org/{address}{end}" for address in addresses for end in ("", "/3.0", "/3.0/us")]
    names = [name_license(place) for place in places]
    assert all(names)
    wanted = ",".join([*names, *map(without_version, names)])
    assert load_config(None, [f"publish.licenses={wanted}"]).check_rights.licenses == tuple(wanted.split(","))


def test_lists_need_no_brackets():
    config = load_config(None, ["identify_language.languages=de,fr", "block_urls.hosts=a.txt,b.txt"])
    assert config.identify_language.languages == ("de", "fr")
    assert [str(item.path) for item in config.block_urls.hosts] == ["a.txt", "b.txt"]


def test_an_override_without_a_value_is_refused():
    with pytest.raises(UserError, match=r"expected table\.key=value"):
        load_config(None, ["prepare.unit_bytes"])


def test_off_switches_a_limit_off():
    config = load_config(None, ["filter_heuristics.gopher.min_words=off", "scrub_pii.max_finds=off"])
    assert config.filter_heuristics.gopher.min_words is config.scrub_pii.max_finds is None
    with pytest.raises(UserError, match=r"publish\.shard_bytes"):  # what must have a value cannot be
        load_config(None, ["publish.shard_bytes=off"])


def test_every_rule_of_the_filters_can_be_switched_off():
    switches = {
        (family, rule.setting)
        for family, rules in FAMILIES.items()
        for rule in rules
        if rule.signal != "c4_lorem_ipsum"
    }
    config = load_config(None, [f"filter_heuristics.{family}.{name}=off" for family, name in switches])
    assert {getattr(getattr(config.filter_heuristics, family), name) for family, name in switches} == {None}
    assert not load_config(None, ["filter_heuristics.c4.drop_lorem_ipsum=false"]).filter_heuristics.c4.drop_lorem_ipsum


def test_printed_settings_read_back_as_the_same_configuration(tmp_path):
    changed = load_config(
        None,
        [
            "prepare.unit_bytes=7",
            "publish.weights.shares={games=1,health='off'}",
            "filter_heuristics.gopher.min_words=off",
        ],
    )
    path = tmp_path / "all.toml"
    path.write_text(to_toml(changed))
    assert load_config(path) == changed


def test_the_configuration_survives_json():
    config = load_config(None, ["prepare.unit_bytes=7"])
    assert Config.model_validate_json(config.model_dump_json()) == config


def test_paths_of_shipped_files_are_those_of_the_machine_that_unpickles(tmp_path):
    own = load_config(None, [f"block_urls.hosts=[{{path='{tmp_path}/own.txt'}}]"])
    assert pickle.loads(pickle.dumps(own)) == own
    for package in ("pipeline", "classifiers"):
        (tmp_path / package).symlink_to(ROOT / package)
    code = (
        f"import pickle, sys; sys.path.insert(0, '{tmp_path}')\n"
        "config = pickle.load(sys.stdin.buffer)\n"
        "print(config.score_quality.model, config.block_urls.soft_words[0].path, config.block_urls.hosts[0].path)"
    )
    done = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(own), capture_output=True, check=True)
    there = ("classifiers/models/quality", "pipeline/lists/soft_words.txt", "own.txt")
    assert done.stdout.decode().split() == [f"{tmp_path}/{path}" for path in there]


def test_quick_look_uses_the_kept_languages_unless_it_has_its_own() -> None:
    keep = 'identify_language.languages=["en", "de"]'
    assert load_config(None, [keep]).quick_look.languages == ("en", "de")
    assert load_config(None, [keep, "quick_look.languages=[]"]).quick_look.languages == ()
    assert load_config(None, [keep, 'quick_look.languages=["fr"]']).quick_look.languages == ("fr",)
    assert load_config(None).quick_look.languages == ()
