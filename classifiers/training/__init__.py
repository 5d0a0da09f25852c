"""Training of the shipped models: a recipe (examples and labels) and a training module for each.

shipped_models                              one function per shipped model
recipe_quality recipe_domain recipe_harm    examples and labels
sample_files weak_labels                    examples from files; weak labels for pages without a hand label
train_binary_scorer train_domain train_harm training, calibration and measurement
model_cards                                 the text of the model cards
"""
