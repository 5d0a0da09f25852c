"""Text features, fastText, linear and logistic models, and metrics, without knowledge of any data set."""
