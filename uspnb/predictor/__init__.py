"""Predictors of one series and of many, whole series replayed and compared, and their results as Datasets."""
