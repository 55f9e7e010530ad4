"""Rules of five published detectors, from their sources as facts, each mapped to the names of Evenflow's rules.

A detector takes a record and gives the names of what it found, in the order in which it would tell of it. A finding
that has no name here begins with "other:"; it counts as an alarm and is never right.
"""

from __future__ import annotations

from collections.abc import Callable

from ailments.record import Record

from .autotrainer import autotrainer
from .deepchecker import deepchecker
from .deepdiagnosis import deepdiagnosis
from .sagemaker import sagemaker
from .umlaut import umlaut

Detector = Callable[[Record], list[str]]
DETECTORS: dict[str, Detector] = {
    "AUTOTRAINER": autotrainer,
    "DeepDiagnosis": deepdiagnosis,
    "UMLAUT": umlaut,
    "SageMaker Debugger": sagemaker,
    "TheDeepChecker": deepchecker,
}
"""In the order of their publication."""
