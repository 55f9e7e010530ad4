"""The twin with weights drawn anew, where those of the training are far from theory, alike, or under large biases.

Whether a start far from theory costs anything is seen beside the same training from a start that is not: one that
learns as well with the weights it has was not drawn badly, whatever their size.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from evenflow.diagnose.drawing import FAR, doubts, far_sides, scales, units_alike
from evenflow.diagnose.layers import linear_map
from evenflow.doctor.copying import Patient
from evenflow.doctor.redraw import redraw
from evenflow.spec.setting import Setting

_SEED = 0


def drawn_anew(patient: Patient, setting: Setting) -> Callable[[Patient], Patient] | None:
    """What makes the twin of a copy; None where the weights give no reason.

    A model whose optimiser has stepped before holds what it has learned: that is given up only where a rule would
    speak, not on a doubt.
    """
    begun = bool(patient.optimizer.state)
    if not (_is_far(setting) if begun else doubts(setting)):
        return None

    def change(twin: Patient) -> Patient:
        redraw(twin.model, setting, torch.Generator().manual_seed(_SEED))
        twin.optimizer.state.clear()  # what it remembers is of other weights
        return twin

    return change


def _is_far(setting: Setting) -> bool:
    layers = [layer for layer in setting.layers if linear_map(layer)]
    return bool(far_sides(scales(setting), FAR) or units_alike(layers))
