"""Features, models and metrics, independent of any data set.

features function_words                   the features of a text
word_counts                               counts of words, looked up once for all models
fasttext_model linear logistic additive   the estimators
page_scorer                               views of a page and a layer: the form of quality and education
external_scorer                           models trained elsewhere: fastText files, Hugging Face classifiers
metrics                                   AUC, rank correlation, calibration, F1
"""
