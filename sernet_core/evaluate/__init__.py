"""Accuracy of a model on a split of a data set."""

from sernet_core.evaluate.split import check_split, evaluate, trained_frames

__all__ = ["check_split", "evaluate", "trained_frames"]
