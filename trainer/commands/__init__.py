"""The commands of `gristmill train`; each imports what it needs when it is called, so that help is instant.

group               the command group and the options that commands share
data                tokenizer, tokens, mixture, trace
training            pretrain, anneal, report, export, generate
evaluation          eval, order-test, contamination
studies             scaling, cost, ablate
settings            all settings as TOML
"""
