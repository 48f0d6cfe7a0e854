"""Violations, planted into a history that is in order: for each checker what it must find."""

from tests.proof.histories.planted import (
    accepted,
    cancels,
    errors,
    going_on,
    limits,
    logs,
    streams,
    transitions,
)
from tests.proof.histories.planted.planting import PLANTS, Plant, copy

__all__ = [
    "PLANTS",
    "Plant",
    "accepted",
    "cancels",
    "copy",
    "errors",
    "going_on",
    "limits",
    "logs",
    "streams",
    "transitions",
]
