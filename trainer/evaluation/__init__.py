"""Evaluation of a trained model: held-out text and questions (harness), and tests for contamination of its data.

likelihood      log-likelihoods of texts under a model; everything here but contamination rests on it
perplexity      perplexity and bits per byte of held-out text
questions       benchmark files as prompts
harness         both, as one report
neighbor_gain   what retrieved neighbors are worth, by how much of the answer they hold
ngram_index     word n-grams of evaluation sets
arena           models ranked by their battles
win_rate        judged answers against a baseline's, raw and at equal length
judge           labels of pairs by a model, and what they are worth
contamination   evaluation text inside training text
decontaminate   conversations, pairs and prompts without evaluation items
order_test      whether a model has seen a file in its published order
"""
