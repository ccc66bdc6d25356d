"""Weights that others have trained, read from the files of other frameworks without those frameworks."""
