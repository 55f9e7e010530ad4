"""Evenflow: gradient flow in deep networks, predicted, measured, diagnosed and repaired.

Every public name is resolved on first use (PEP 562), so that `import evenflow` loads no framework.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "Activation": "evenflow.spec.activation",
    "ConvolutionalNetwork": "evenflow.spec.convolutional",
    "Data": "evenflow.spec.data",
    "DataError": "evenflow.errors",
    "Diagnosis": "evenflow.diagnose.diagnosis",
    "EvenflowError": "evenflow.errors",
    "Finding": "evenflow.diagnose.finding",
    "Network": "evenflow.spec.network",
    "Outcome": "evenflow.verify.outcome",
    "Probe": "evenflow.watch.probe",
    "ProbeWarning": "evenflow.measure.recorder",
    "RecurrentNetwork": "evenflow.spec.recurrent",
    "SpecError": "evenflow.errors",
    "Store": "evenflow.record.store",
    "StoreError": "evenflow.errors",
    "Study": "evenflow.spec.study",
    "Table": "evenflow.record.table",
    "Training": "evenflow.spec.training",
    "TransformerNetwork": "evenflow.spec.transformer",
    "UnavailableError": "evenflow.errors",
    "activation": "evenflow.spec.activation",
    "activation_names": "evenflow.spec.activation",
    "advise": "evenflow.study.advice",
    "build": "evenflow.study.build",
    "diagnose": "evenflow",  # the package, which can be called
    "doctor": "evenflow",  # so is this one
    "fix": "evenflow.verify.fix",
    "predict": "evenflow.study.forecast",
    "properties": "evenflow.spec.properties",
    "read_study": "evenflow.spec.files",
    "register_activation": "evenflow.spec.activation",
    "run_study": "evenflow.study.run",
    "summarise": "evenflow.compare.summary",
    "write_report": "evenflow.report.page",
}

__all__ = [
    "Activation",
    "ConvolutionalNetwork",
    "Data",
    "DataError",
    "Diagnosis",
    "EvenflowError",
    "Finding",
    "Network",
    "Outcome",
    "Probe",
    "ProbeWarning",
    "RecurrentNetwork",
    "SpecError",
    "Store",
    "StoreError",
    "Study",
    "Table",
    "Training",
    "TransformerNetwork",
    "UnavailableError",
    "activation",
    "activation_names",
    "advise",
    "build",
    "diagnose",
    "doctor",
    "fix",
    "predict",
    "properties",
    "read_study",
    "register_activation",
    "run_study",
    "summarise",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'evenflow' has no attribute '{name}'")
    home = _HOMES[name]
    value = import_module(f"{home}.{name}") if home == __name__ else getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])


if TYPE_CHECKING:  # so that type checkers and editors see what `__getattr__` resolves
    from evenflow.compare.summary import summarise
    from evenflow.diagnose.diagnosis import Diagnosis
    from evenflow.diagnose.engine import diagnose
    from evenflow.diagnose.finding import Finding
    from evenflow.doctor.consult import doctor
    from evenflow.errors import DataError, EvenflowError, SpecError, StoreError, UnavailableError
    from evenflow.measure.recorder import ProbeWarning
    from evenflow.record.store import Store
    from evenflow.record.table import Table
    from evenflow.report.page import write_report
    from evenflow.spec.activation import Activation, activation, activation_names, register_activation
    from evenflow.spec.convolutional import ConvolutionalNetwork
    from evenflow.spec.data import Data
    from evenflow.spec.files import read_study
    from evenflow.spec.network import Network
    from evenflow.spec.properties import properties
    from evenflow.spec.recurrent import RecurrentNetwork
    from evenflow.spec.study import Study
    from evenflow.spec.training import Training
    from evenflow.spec.transformer import TransformerNetwork
    from evenflow.study.advice import advise
    from evenflow.study.build import build
    from evenflow.study.forecast import predict
    from evenflow.study.run import run_study
    from evenflow.verify.fix import fix
    from evenflow.verify.outcome import Outcome
    from evenflow.watch.probe import Probe
