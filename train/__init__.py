"""Datasets of tar shards in, experts out: streaming, training, evaluation. Needs the extra ``[train]``."""
