"""Training of the shipped models: a recipe (examples and labels) and a training module for each.

shipped_models                              one function per shipped model
recipe_quality recipe_domain recipe_harm    examples and labels
recipe_extraction rare_markup block_labels  training pages of the extraction model and labels of their blocks
sample_files weak_labels hard_negatives     examples from files; weak labels of unread pages; text that no reader wants
train_page_scorer train_domain train_harm   training, calibration and measurement
train_extraction                            weights of names, the forest over blocks, page types
model_cards                                 the text of the model cards
"""
