"""Weighing: intervals over seeds, paired differences, and the figures that decide whether a choice is sound.

Everything here reads a table and returns frozen data; nothing trains and nothing draws.
"""

from evenflow.compare.figures import FIGURES, Figure, Result
from evenflow.compare.flow import Flow, FlowAt, flows
from evenflow.compare.intervals import Interval, mean_interval, wilson_interval
from evenflow.compare.outcome import Outcome, outcomes
from evenflow.compare.paired import Difference, holm, paired_difference
from evenflow.compare.remedies import Effect, effects, left_out
from evenflow.compare.summary import CellSummary, Comparison, Summary, summarise

__all__ = [
    "FIGURES",
    "CellSummary",
    "Comparison",
    "Difference",
    "Effect",
    "Figure",
    "Flow",
    "FlowAt",
    "Interval",
    "Outcome",
    "Result",
    "Summary",
    "effects",
    "flows",
    "holm",
    "left_out",
    "mean_interval",
    "outcomes",
    "paired_difference",
    "summarise",
    "wilson_interval",
]
