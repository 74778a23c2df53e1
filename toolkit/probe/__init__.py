"""Looks at pictures over the network: which Gravatars exist. Only ever on request."""

from toolkit.probe.cache import Cache
from toolkit.probe.gravatar import BATCH, GRAVATAR, RATE, asking
from toolkit.probe.question import RATINGS, Answer, Question

__all__ = ["BATCH", "GRAVATAR", "RATE", "RATINGS", "Answer", "Cache", "Question", "asking"]
