# Start with `make demo` and `make test`; `make help` lists the other targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := demo
.PHONY: install demo demo-assistant test test-fast lint types bench bench-peers bench-trainer soak models lock readers clean chaos fuzz

help:
	@echo "make demo    curate the embedded mini-crawl, then train a tiny model on it"
	@echo "make demo-assistant  SFT, reward model, DPO, PPO and GRPO from the demo's model, and a comparison"
	@echo "make test    all tests      make lint   ruff      make types   mypy"
	@echo "make chaos   runs with simulated faults on a disk and in stores, SEEDS=1000 each"
	@echo "make fuzz    readers of untrusted bytes, MINUTES=5"
	@echo "make bench   speed, memory and quality, as ratios within one run"
	@echo "make soak    a full-size file of pages, killed half-way and resumed"
	@echo "make models  retrain the shipped models and check that their bytes do not change"
	@echo "make install create .venv with all extras, in the versions of the lock file"

# .installed records the last installation, which is repeated when the lock file or pyproject.toml is newer.
$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: requirements.lock pyproject.toml | $(BIN)/python
	$(BIN)/pip install --quiet --requirement requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

install: $(VENV)/.installed

# Curate the embedded mini-crawl, check the output, and train a tiny model on it, for STEPS steps.
STEPS ?= 160
demo: install
	$(BIN)/gristmill curate tests/minicrawl/warc --output $(DEMO)/curated
	$(BIN)/gristmill audit $(DEMO)/curated
	$(BIN)/gristmill train tokenizer $(DEMO)/curated --output $(DEMO)/tokenizer --vocab-size 2048
	$(BIN)/gristmill train pretrain tiny --data $(DEMO)/curated --tokenizer $(DEMO)/tokenizer --output $(DEMO)/model \
		--set loop.steps=$(STEPS) --set schedule.warmup_steps=16 --set data.batch_size=8
	$(BIN)/gristmill train eval $(DEMO)/model
	$(BIN)/gristmill train generate $(DEMO)/model "The river" "In the city" "How to" --set temperature=0.6

# Readers of other trainers' token files, 10 s; `make test` goes on where they cannot be installed, and skips their test.
.readers/.installed: tests/trainer/data/readers.txt
	rm -rf .readers
	$(BIN)/pip install --quiet --retries 1 --timeout 30 --no-deps --target .readers --requirement $<
	touch $@

readers: install .readers/.installed

# From the demo's model to assistants: the same preferences through best-of-n, DPO and PPO, the same questions through SFT,
# GRPO and PPO, two seeds of each, and a report that compares them. PPO mixes in pretraining text, and with a reward model
# it learns from prompts that this was not trained on. EXAMS are files of questions that are asked before and after each
# stage, where they are. The settings of the stages are in RECIPES.
EXAMS ?= $(wildcard $(or $(GRISTMILL_DATA),../shared/data)/trainer/eval/copa.jsonl.gz)
RECIPES := trainer/presets/demo-assistant
ASSISTANT := $(DEMO)/assistant
TRAIN := $(BIN)/gristmill train
SFT := $(ASSISTANT)/sft
TASKS := $(ASSISTANT)/questions.jsonl
PAIRS := $(ASSISTANT)/pairs.jsonl
STAGES := $(foreach stage,ppo-reward ppo grpo dpo sft-longer,$(ASSISTANT)/$(stage)-0 $(ASSISTANT)/$(stage)-1)
.PHONY: $(STAGES) $(ASSISTANT)/reward

demo-assistant: install
	test -f $(DEMO)/model/checkpoints/latest || $(MAKE) demo
	rm -f $(TASKS) $(PAIRS)
	$(TRAIN) make-tasks count --size 6 --count 3000 --output $(TASKS)
	$(TRAIN) sft $(DEMO)/model $(TASKS) --output $(SFT) --config $(RECIPES)/sft.toml
	$(TRAIN) best-of-n $(SFT) $(TASKS) --pairs $(PAIRS) --set samples=8 --set limit=1200 --set batch_size=64 \
		--set max_new_tokens=3
	$(MAKE) --jobs=2 --output-sync=target --no-print-directory $(STAGES)
	$(TRAIN) compare-assistants pretrained=$(DEMO)/model sft=$(SFT) \
		"longer sft"=$(ASSISTANT)/sft-longer-0 "longer sft"=$(ASSISTANT)/sft-longer-1 \
		dpo=$(ASSISTANT)/dpo-0 dpo=$(ASSISTANT)/dpo-1 grpo=$(ASSISTANT)/grpo-0 grpo=$(ASSISTANT)/grpo-1 \
		ppo=$(ASSISTANT)/ppo-0 ppo=$(ASSISTANT)/ppo-1 \
		"ppo, reward model"=$(ASSISTANT)/ppo-reward-0 "ppo, reward model"=$(ASSISTANT)/ppo-reward-1 \
		--prompts $(TASKS) --reference sft --reward $(ASSISTANT)/reward --held-out $(DEMO)/model \
		$(addprefix --task ,$(EXAMS)) --output $(ASSISTANT)/comparison --set max_new_tokens=3 --set documents=20

# The stages after SFT, two at a time with one thread each: a tiny model does not gain from a second thread.
$(ASSISTANT)/sft-longer-0 $(ASSISTANT)/sft-longer-1: $(ASSISTANT)/sft-longer-%:
	$(TRAIN) sft $(SFT) $(TASKS) --output $@ --config $(RECIPES)/sft.toml --set chat.seed=$*

$(ASSISTANT)/reward:
	$(TRAIN) reward $(SFT) $(PAIRS) --output $@ --config $(RECIPES)/pairs.toml

$(ASSISTANT)/dpo-0 $(ASSISTANT)/dpo-1: $(ASSISTANT)/dpo-%:
	$(TRAIN) dpo $(SFT) $(PAIRS) --output $@ --config $(RECIPES)/pairs.toml --set pairs.seed=$* \
		--set schedule.learning_rate=2e-4 --set epochs=1

$(ASSISTANT)/grpo-0 $(ASSISTANT)/grpo-1: $(ASSISTANT)/grpo-%:
	$(TRAIN) grpo $(SFT) $(TASKS) --output $@ --config $(RECIPES)/rollouts.toml --set prompts.seed=$*

$(ASSISTANT)/ppo-0 $(ASSISTANT)/ppo-1: $(ASSISTANT)/ppo-%:
	$(TRAIN) ppo $(SFT) $(TASKS) --output $@ --config $(RECIPES)/rollouts.toml --set prompts.seed=$* \
		--mix $(DEMO)/curated --set data.batch_size=1 --set policy.pretraining_weight=0.05

$(ASSISTANT)/ppo-reward-0 $(ASSISTANT)/ppo-reward-1: $(ASSISTANT)/ppo-reward-%: $(ASSISTANT)/reward
	$(TRAIN) ppo $(SFT) $(TASKS) --output $@ --config $(RECIPES)/rollouts.toml --set prompts.seed=$* \
		--reward $(ASSISTANT)/reward --set prompts.unshared=true

# Two processes; all tests of a file run in the same one, because they share fixtures. SLOW=3 runs the slow proofs of one
# file in three; which ones depends on the commit, and so does the first seed of simulated faults, which get SEED_SECONDS.
SLOW ?= 1
SEED_SECONDS ?= 12
test: install
	-$(MAKE) --no-print-directory readers
	$(BIN)/pytest tests -n 2 --dist loadfile --no-loadscope-reorder --sample-slow $(SLOW) \
		--seed-seconds $(SEED_SECONDS)

test-fast: install
	$(BIN)/pytest tests -m "not slow and not java"

# Faults in every call of the operating system, in turn and by chance: seeds 0 to SEEDS-1.
SEEDS ?= 1000
chaos: install
	for store in disk gs s3; do \
	  $(BIN)/python -m tests.pipeline.simulation.chaos --store $$store --seeds $(SEEDS) --every-call || exit 1; \
	done
	$(BIN)/python -m tests.trainer.faults

# Readers of untrusted bytes under coverage-guided fuzzing; what breaks one is kept below .fuzz.
MINUTES ?= 5
fuzz: install
	$(BIN)/python -m tests.fuzz --minutes $(MINUTES)

lint: install
	$(BIN)/ruff check --no-cache .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

# The benchmarks need a folder of real pages: GRISTMILL_DATA, default ../shared/data.
bench: install
	$(BIN)/python -m tests.benchmarks.curate
	$(BIN)/python -m tests.benchmarks.filters
	$(BIN)/python -m tests.benchmarks.pii
	$(BIN)/python -m tests.benchmarks.minhash
	$(BIN)/python -m tests.benchmarks.near_duplicates
	$(BIN)/python -m tests.benchmarks.extraction
	$(BIN)/python -m tests.benchmarks.quick_look
	$(BIN)/python -m tests.benchmarks.classifiers

# The peers (datatrove and a plain loop) have an environment of their own.
.venv-peers/.installed: tests/benchmarks/peers.txt
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/pip install --quiet --requirement tests/benchmarks/peers.txt
	touch $@

bench-peers: install .venv-peers/.installed
	$(BIN)/python -m tests.benchmarks.peers

# 35,000 pages, about 1 GB, made of the real pages; takes half an hour.
soak: install
	$(BIN)/python -m tests.benchmarks.soak

bench-trainer: install
	$(BIN)/python -m tests.benchmarks.trainer
	$(BIN)/python -m tests.benchmarks.loading
	$(BIN)/python -m tests.benchmarks.loading --synthetic
	$(BIN)/python -m tests.benchmarks.ablation
	$(BIN)/python -m tests.benchmarks.optimizers
	$(BIN)/python -m tests.benchmarks.one_dial
	$(BIN)/python -m tests.benchmarks.mixtures
	$(BIN)/python -m tests.benchmarks.score_ablation
	$(BIN)/python -m tests.benchmarks.packing
	-$(BIN)/python -m tests.benchmarks.utilization
	$(BIN)/python -m tests.benchmarks.arithmetic
	$(BIN)/python -m tests.benchmarks.reward
	$(BIN)/python -m tests.benchmarks.generation

# Retrains the shipped models on the folder of real pages (GRISTMILL_DATA); fails if any byte changes. Extraction comes
# first: its text is what the others are trained on.
models: install
	for model in extraction quality education domain harm; do \
		$(BIN)/gristmill classify train $$model --output classifiers/models/$$model || exit 1; \
	done
	git diff --exit-code --stat classifiers/models

# Resolve all versions again; only done deliberately.
lock: install
	$(BIN)/uv pip compile --quiet --all-extras --no-emit-index-url --no-header pyproject.toml --output-file requirements.lock

clean:
	rm -rf $(DEMO) build dist *.egg-info
