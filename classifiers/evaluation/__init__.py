"""Evaluation of the models on domains that are not in their training data.

evaluate              compute the metrics
evaluate_extraction   those of the extraction model
evaluate_nested       the quality recipe by nested cross-validation
report                write them as a Markdown page with plots
gate                  refuse a model that is worse than the pinned minimum values
"""
