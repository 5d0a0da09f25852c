"""Evaluation of a trained model: held-out text and questions (harness), judged answers, battles.

likelihood      log-likelihoods of texts under a model; what follows rests on it
perplexity      perplexity and bits per byte of held-out text
harness         held-out text and questions as one report
neighbor_gain   what retrieved neighbors are worth, by how much of the answer they hold
arena           models ranked by their battles
win_rate        judged answers against a baseline's, raw and at equal length
judge           labels of pairs by a model, and what they are worth
order_test      whether a model has seen a file in its published order
"""
