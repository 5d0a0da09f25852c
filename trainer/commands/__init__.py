"""The commands of `gristmill train`; each imports what it needs when it is called, so that --help is fast.

group               the command group and the options that commands share
data_commands       tokenizer, tokens, mixture, trace, make-conversations
training_commands   pretrain, anneal, report, import, export, generate
assistant_commands  sft, reward, dpo, kto, grpo, ppo, best-of-n, chat, serve, make-tasks
comparison_commands compare-assistants
evaluation_commands eval, arena, win-rate, order-test, contamination
experiment_commands runs, rerun
generator_commands  judge, self-instruct
retrieval_commands  retrieve build, query and gain
studies_commands    scaling, task-scaling, cost, ablate, mixture-search
settings_commands   all settings as TOML
"""
