"""Training: curated shards in, language models out. The document weights of the shards decide how often text is read.

    cli.py           gristmill train ...; the commands are in commands/
    tasks/           what is trained: pretraining, annealing, denoising objectives, conversations
    ├─ data/             shards -> tokenizer -> token files -> mixture -> batch(step)
    ├─ model/            decoder, encoder-decoder, attention, rotary positions, experts, loss, Hugging Face export
    └─ training/         the loop, one step, optimizer, schedule, anomalies, checkpoints, distributed, metrics
    chat/            conversations and preferences: formats, chat template, batches of answers
    retrieval/       chunks of documents, found by the nearness of their embeddings
    losses/          losses of post-training as pure functions
    rollouts/        text from a model: sampling and generation
    contamination/   evaluation text inside training text: found, reported, left out
    evaluation/      bits per byte, benchmark questions, judged answers, order test
    studies/         size ladders, scaling laws, dataset ablations, cost of a run
    reports/         report.html of a run, and the record of how it was made and how it ended
    presets/         configurations by name: tiny, 125m, 1b, 7b, ...
    config.py        TOML files and --set; each setting is declared beside the code that it controls
    settings.py errors.py files.py    bases of settings and user errors; atomic writes and hashes

A batch is a pure function of (seed, step, settings), so a run resumes bitwise and every step leads back to its pages.
`training` uses a task only through the protocol in training/task.py. `trainer` imports neither Beam nor `pipeline` nor
`classifiers`.
"""

import os

# Threads of torch wait asleep, not spinning, unless the environment says otherwise; read when torch is loaded. Measured
# with two threads on two cores, a step of `tiny`: 0.22 s against 0.27 s spinning on an idle machine, 2 to 5 s against 7
# to 14 s where four times as many processes as cores compete, because a spinning thread takes the core from the others.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
