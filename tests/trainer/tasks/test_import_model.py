"""import_model: a folder of Hugging Face becomes a run that generates, exports and is continued."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tokenizers import AddedToken, decoders, models, normalizers, processors, trainers
from tokenizers import Tokenizer as Engine
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tests.trainer.commands.invoke import run
from tests.trainer.curated import pages, write_dataset
from trainer.data.tokenizer import load_tokenizer
from trainer.tasks.import_model import import_hugging_face
from trainer.training.checkpoint import find_checkpoint
from trainer.training.metrics import read_metrics
from trainer.training.saved_model import load_decoder

TEXTS = [row["text"] for row in pages(60)]


def llama_2_tokenizer() -> PreTrainedTokenizerFast:
    """Llama 2's kind: no bytes but pieces after `▁`, unknown characters as bytes, <s> put first, </s> at the end."""
    engine = Engine(models.BPE(byte_fallback=True, unk_token="<unk>"))
    engine.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    engine.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    engine.train_from_iterator(TEXTS, trainers.BpeTrainer(vocab_size=600, special_tokens=special[:3]))
    engine.add_special_tokens([AddedToken("<s>", special=True, normalized=False)])
    engine.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", engine.token_to_id("<s>"))]
    )
    return PreTrainedTokenizerFast(tokenizer_object=engine, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model and tokenizer as Hugging Face stores them."""
    torch.manual_seed(0)
    tokenizer = llama_2_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=64,
        initializer_range=0.2,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(tmp_path / "theirs")
    tokenizer.save_pretrained(tmp_path / "theirs")
    return tmp_path / "theirs"


def test_the_same_loss_on_the_same_text(folder: Path, tmp_path: Path) -> None:
    import_hugging_face(folder, tmp_path / "run")
    own, tokenizer = load_decoder(tmp_path / "run"), load_tokenizer(find_checkpoint(tmp_path / "run"))
    theirs, their_tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    for text in (TEXTS[0][:80], "Grüße <s> 世界", "a"):
        given = their_tokenizer(text.replace("<s>", ""), return_tensors="pt")["input_ids"][:, :64]
        row = torch.tensor([[tokenizer.separator, *tokenizer.encode(text.replace("<s>", ""))]])[:, :64]
        assert row.tolist() == given.tolist()
        with torch.no_grad():
            expected = theirs(given, labels=given).loss
            found = own(row[:, :-1], row[:, 1:]).token_losses.mean()
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert tokenizer.separator not in tokenizer.encode("a<s>b")  # as text it stays text


def test_an_imported_model_generates_exports_and_is_continued(folder: Path, tmp_path: Path) -> None:
    run("import", folder, "--output", tmp_path / "run")
    assert run("generate", tmp_path / "run", "the", "--set", "max_new_tokens=5").startswith("the")
    run("export", tmp_path / "run", "--output", tmp_path / "again")
    for name in ("tokenizer_config.json", "generation_config.json"):  # their end token is another one than the first
        assert (tmp_path / "again" / name).read_text() == (folder / name).read_text()
    assert AutoTokenizer.from_pretrained(tmp_path / "again").eos_token == "</s>"
    write_dataset(tmp_path / "set", pages(120))
    options = ["--data", tmp_path / "set", "--set", f"data.cache={tmp_path}/cache", "--set", "data.workers=1"]
    sizes = {"data.sequence_length": 64, "data.batch_size": 4, "loop.steps": 3, "loop.threads": 1}
    options += [word for name, value in sizes.items() for word in ("--set", f"{name}={value}")]
    more = ["--set", "loop.precision=float32", "--set", "schedule.warmup_steps=0"]
    run("pretrain", tmp_path / "run", *options, *more, "--start", tmp_path / "run", "--output", tmp_path / "continued")
    assert len(read_metrics(tmp_path / "continued")) == 3
    assert (
        load_decoder(tmp_path / "continued").settings.vocab_size == load_decoder(tmp_path / "run").settings.vocab_size
    )
    assert "bits/byte" in run("eval", tmp_path / "run", "--data", tmp_path / "set", "--cache", tmp_path / "cache")
    anneal = ["--set", "learning_rate=1e-4", "--set", "steps=1", "--set", f"sources.web.path={tmp_path}/set"]
    run("anneal", tmp_path / "continued", *anneal, "--output", tmp_path / "annealed")
