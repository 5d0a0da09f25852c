"""One recipe for each shipped model (which examples, which labels), and the training that turns it into a folder.

shipped_models                      one function per shipped model
recipe_quality recipe_domain recipe_harm    examples and labels
sample_files weak_labels            examples from files; labels for pages that nobody read
train_binary_scorer train_domain train_harm the training
model_cards                         the text of the model cards
"""
