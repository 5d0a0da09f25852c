"""hugging_face: transformers loads the exported model and gives equal logits; safetensors, no pickle."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, DataCollatorForLanguageModeling

from tests.trainer import runs
from tests.trainer.curated import pages
from trainer.data.tokenizer import TokenizerSettings, train_tokenizer
from trainer.model.hugging_face import ExportError, ExportType, export_to_hugging_face
from trainer.rollouts.generate import GenerateSettings, generate
from trainer.training import checkpoint
from trainer.training.saved_model import load_decoder, read_saved_model

EXPERTS = {"num_experts": 4, "every": 1}
LONG = {"scaling": "yarn", "factor": 4.0, "original_context_length": 16, "low_freq_factor": 1, "high_freq_factor": 32}
MODELS = {
    "llama": {},
    "untied": {"tie_embeddings": False, "kv_heads": None, "head_dim": 16, "ffn_hidden_size": 40},
    "long": {"rope": LONG},
    "mixtral": {"experts": EXPERTS},
    "every_second": {"experts": {**EXPERTS, "every": 2}},
    "top_1": {"experts": {**EXPERTS, "top_k": 1, "normalize_gates": True}},
}


def tokens() -> torch.Tensor:
    return torch.randint(0, 64, (2, 50), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", MODELS)
def test_transformers_gives_the_same_logits(tmp_path, name):
    runs.run(tmp_path / "run", {"model": MODELS[name], "loop": {"steps": 8}})
    folder = export_to_hugging_face(*read_saved_model(tmp_path / "run"), tmp_path / "hf", separator=0)
    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    assert type(theirs).__name__ == ("MixtralForCausalLM" if "experts" in MODELS[name] else "LlamaForCausalLM")
    with torch.no_grad():
        expected = theirs(tokens()).logits
        found = load_decoder(tmp_path / "run")(tokens()).logits
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert {path.suffix for path in folder.iterdir()} == {".json", ".safetensors"}


def test_transformers_generates_the_same_tokens(tmp_path):
    runs.run(tmp_path / "run", {"loop": {"steps": 12}})
    folder = export_to_hugging_face(*read_saved_model(tmp_path / "run"), tmp_path / "hf")
    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    prompt = [0, 5, 6, 7]
    row = torch.tensor([prompt])
    expected = theirs.generate(row, attention_mask=row >= 0, max_new_tokens=20, do_sample=False)[0, 4:].tolist()
    assert generate(load_decoder(tmp_path / "run"), [prompt], GenerateSettings(max_new_tokens=20, temperature=0)) == [
        expected
    ]


def test_many_files_and_bf16(tmp_path, monkeypatch):
    runs.run(tmp_path / "run", {"model": {"tie_embeddings": False}, "loop": {"steps": 1}})
    monkeypatch.setattr("trainer.model.hugging_face.FILE_BYTES", 10_000)
    folder = export_to_hugging_face(*read_saved_model(tmp_path / "run"), tmp_path / "hf", dtype=ExportType.BFLOAT16)
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    assert len(set(index["weight_map"].values())) == len(list(folder.glob("model-*.safetensors"))) > 2
    theirs = AutoModelForCausalLM.from_pretrained(folder)
    assert theirs.dtype is torch.bfloat16
    weight = load_decoder(tmp_path / "run").head.weight
    assert torch.equal(theirs.lm_head.weight, weight.bfloat16())
    monkeypatch.undo()
    export_to_hugging_face(*read_saved_model(tmp_path / "run"), folder)  # its old files must not remain
    assert [path.name for path in folder.glob("model*")] == ["model.safetensors"]


def test_the_tokenizer_is_exported_too(tmp_path):
    text = "The quick brown fox jumps over the lazy dog. " * 50
    tokenizer = train_tokenizer([text], TokenizerSettings(vocab_size=704))
    tokenizer.save(tmp_path / "tokenizer.json")
    runs.run(tmp_path / "run", {"model": {"vocab_size": tokenizer.vocab_size}, "loop": {"steps": 1}})
    saved = read_saved_model(tmp_path / "run")
    ids = {"separator": tokenizer.separator, "pad": tokenizer.pad}
    folder = export_to_hugging_face(*saved, tmp_path / "hf", tokenizer=tmp_path, **ids)
    theirs = AutoTokenizer.from_pretrained(folder)
    assert theirs(text, add_special_tokens=False)["input_ids"] == tokenizer.encode(text)
    assert theirs.eos_token_id == tokenizer.separator
    assert theirs.decode(tokenizer.encode(text)) == text
    assert theirs("The fox")["input_ids"] == [tokenizer.separator, *tokenizer.encode("The fox")]
    assert theirs.pad_token_id == tokenizer.pad != theirs.eos_token_id
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert model.config.pad_token_id == model.generation_config.pad_token_id == tokenizer.pad


@pytest.mark.parametrize("experts", [None, {"num_experts": 4, "every": 1}])
def test_transformers_gives_the_same_loss_on_the_same_text(tmp_path, experts):
    """Through its own tokenizer, text by text and in a padded batch, whose end tokens its collator leaves counted."""
    texts = [row["text"][:n] for n, row in zip((90, 33, 61), pages(3), strict=True)] + ["a", "a<EMAIL> <|end|x"]
    tokenizer = train_tokenizer([row["text"] for row in pages(40)], TokenizerSettings(vocab_size=768))
    tokenizer.save(tmp_path / "tokenizer.json")
    model = {"vocab_size": tokenizer.vocab_size, "experts": experts, "init_std": 0.2}
    runs.run(tmp_path / "run", {"model": model, "loop": {"steps": 2}})
    ids = {"separator": tokenizer.separator, "pad": tokenizer.pad}
    folder = export_to_hugging_face(*read_saved_model(tmp_path / "run"), tmp_path / "hf", tokenizer=tmp_path, **ids)
    own = load_decoder(tmp_path / "run")
    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    their_tokenizer = AutoTokenizer.from_pretrained(folder)
    sums = tokens = 0.0
    with torch.no_grad():
        for text in texts:
            row = torch.tensor([[tokenizer.separator, *tokenizer.encode(text), tokenizer.separator]])
            expected = own(row[:, :-1], row[:, 1:]).token_losses[0]
            given = their_tokenizer(text, return_tensors="pt")["input_ids"]
            assert given.tolist() == row[:, :-1].tolist()
            found = theirs(given, labels=given).loss
            assert float(found) == pytest.approx(float(expected[:-1].mean()), rel=1e-5)
            sums, tokens = sums + float(expected.sum()), tokens + len(expected)
        rows = [{"input_ids": [*their_tokenizer(text)["input_ids"], their_tokenizer.eos_token_id]} for text in texts]
        batch = DataCollatorForLanguageModeling(their_tokenizer, mlm=False)(rows)
        assert int((batch["labels"][:, 1:] == their_tokenizer.eos_token_id).sum()) == len(texts)
        assert float(theirs(**batch).loss) == pytest.approx(sums / tokens, rel=1e-5)


def test_models_without_a_layout_are_refused(tmp_path):
    runs.run(tmp_path / "run", {"model": {"experts": {**EXPERTS, "top_k": 1}}, "loop": {"steps": 1}})
    with pytest.raises(ExportError, match="gates add up to 1"):
        export_to_hugging_face(*read_saved_model(tmp_path / "run"), tmp_path / "hf")
    objective = {"denoisers": [{}], "first_sentinel": 50, "sentinels": 10}
    model = {"encoder_layers": 1, "kv_heads": None}
    runs.run(tmp_path / "t5", {"model": model, "objective": objective, "loop": {"steps": 1}})
    with pytest.raises(ExportError, match="encoder-decoder"):
        export_to_hugging_face(*read_saved_model(tmp_path / "t5"), tmp_path / "hf")
    assert not (tmp_path / "hf").exists()


def test_a_damaged_checkpoint_is_not_exported(tmp_path):
    runs.run(tmp_path / "run", {"loop": {"steps": 1}})
    path = checkpoint.find_checkpoint(tmp_path / "run") / "model-00001.safetensors"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(checkpoint.CheckpointError, match="not what was written"):
        export_to_hugging_face(*read_saved_model(tmp_path / "run"), Path(tmp_path / "hf"))
