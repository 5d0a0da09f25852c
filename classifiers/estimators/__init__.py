"""Features, models and metrics without knowledge of any data set.

features function_words             what a model sees of a text
fasttext_model linear logistic      the estimators
binary_scorer                       fastText and a logistic layer: the form of the quality and harm models
metrics                             AUC, calibration, F1
"""
