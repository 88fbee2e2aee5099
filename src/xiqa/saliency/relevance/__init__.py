"""Relevance propagation: LRP, deep Taylor decomposition and DeepLIFT by a rule for every operation."""

from xiqa.saliency.relevance.deeplift import DeepLift
from xiqa.saliency.relevance.lrp import COMPOSITES, Lrp, composite, deep_taylor
from xiqa.saliency.relevance.step import Ledger, Message
from xiqa.saliency.relevance.sweep import one_hot, propagate

__all__ = [
    "COMPOSITES",
    "DeepLift",
    "Ledger",
    "Lrp",
    "Message",
    "composite",
    "deep_taylor",
    "one_hot",
    "propagate",
]
