"""Features, models and metrics, independent of any data set.

features function_words             the features of a text
fasttext_model linear logistic      the estimators
binary_scorer                       fastText followed by a logistic layer: the form of the quality model
external_scorer                     models trained elsewhere: fastText files, Hugging Face classifiers
metrics                             AUC, calibration, F1
"""
