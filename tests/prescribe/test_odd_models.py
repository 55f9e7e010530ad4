"""Every form of every remedy that changes a model, on models and trainings of every odd kind."""

from __future__ import annotations

import math

import probe_models
import pytest
import torch
from prescribed_trainings import course, state, view_of

from evenflow.doctor.batches import Batch
from evenflow.doctor.copying import admit
from evenflow.measure.sites import tensors_of
from evenflow.prescribe import (
    add_normalisation,
    add_skip_connections,
    change_activation,
    mend_output_layer,
    normalise_first_layer,
    open_forget_gates,
    pre_norm,
    reinitialise,
    replace_recurrence,
    scale_residual_branches,
    zero_biases,
)

REMEDIES = [
    one.REMEDY
    for one in (
        *(
            add_normalisation,
            add_skip_connections,
            change_activation,
            mend_output_layer,
            normalise_first_layer,
        ),
        *(
            open_forget_gates,
            pre_norm,
            reinitialise,
            replace_recurrence,
            scale_residual_branches,
            zero_biases,
        ),
    )
]
NO_PLAIN_TRAINING = ("called_by_the_user", "hooks_of_the_users_own", "raises_once")
"""Not called as a module, not to be run without gradients, or raising on purpose."""


def size(output, _target) -> torch.Tensor:
    parts = [one for _, one in tensors_of(output) if one.requires_grad]
    return torch.stack([one.abs().square().mean().float() for one in parts]).sum()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [one for one in probe_models.CASES if one not in NO_PLAIN_TRAINING])
def test_what_is_offered_can_be_carried_out_and_trains(name):
    torch.manual_seed(0)
    training = probe_models.CASES[name][0]()
    seen = []
    handle = training.model.register_forward_pre_hook(
        lambda _, args, words: seen.append(words or args), with_kwargs=True
    )
    training.step(0)
    handle.remove()
    patient = admit(training.model, training.optimisers[0], None)
    view = view_of(
        patient.model, [Batch(seen[0], torch.zeros(1))], make=lambda _: patient.optimizer, loss=size
    )
    before, ran = state(patient.model), course(view.training, 2)
    for remedy in REMEDIES:
        forms = remedy.forms(view)
        assert not (forms and remedy.why_not(view))
        for one in forms:
            changed = one.change(view.training.copied())
            assert one.code().snippet
            losses = course(changed, 2)
            assert len(losses) == len(ran)
            assert any(map(math.isnan, ran)) or not any(map(math.isnan, losses))
    assert all(torch.equal(each, state(patient.model)[word]) for word, each in before.items())
