"""Scores: small pure functions over counts, each with its formula, its source and its empty case."""
