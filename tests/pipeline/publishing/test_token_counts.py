"""Token counts: control tokens in a text are text, and other files are refused."""

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from pipeline.errors import UserError
from pipeline.publishing.token_counts import load_token_counter


def test_tokens_of_words_and_of_control_tokens(tmp_path):
    engine = Tokenizer(models.WordLevel({"[UNK]": 0, "river": 1, "<s>": 2}, unk_token="[UNK]"))
    engine.pre_tokenizer = pre_tokenizers.Whitespace()
    engine.add_special_tokens(["<s>"])
    engine.enable_truncation(2)
    engine.save(str(tmp_path / "tokenizer.json"))
    count = load_token_counter(tmp_path / "tokenizer.json")
    assert [count(text) for text in ("", "river", "the river and the sea")] == [0, 1, 5]
    assert count("river <s>") == 4  # < s > as Whitespace splits them


def test_other_files_are_one_clear_line(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(UserError, match=r"publish\.tokenizer: .*tokenizer\.json: no tokenizer\.json"):
        load_token_counter(tmp_path / "tokenizer.json")
    with pytest.raises(UserError, match=r"publish\.tokenizer: .*missing\.json"):
        load_token_counter(tmp_path / "missing.json")
