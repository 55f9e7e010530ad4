"""Remedies for everything but the layers, on models of many shapes: what applies is what its code says."""

from __future__ import annotations

import pytest
import torch
from changed_trainings import check, training_of, view_of
from torch import nn

from evenflow.prescribe.catalogue import REMEDIES

NAMES = (
    *("lower_learning_rate", "raise_learning_rate", "warm_up", "change_optimiser", "clip_gradients"),
    *(
        "raise_clip_norm",
        "standardise_input",
        "check_inputs",
        "add_to_optimiser",
        "unfreeze",
        "remove_detach",
    ),
    *("pass_gradient_through", "raise_precision", "lower_weight_decay", "lower_dropout", "mend_loss"),
    "guard_operation",
)


class OfOneMapping(nn.Module):
    """Takes and gives mappings, has a module in two places and one in a mapping."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 8)
        self.parts = nn.ModuleDict({"x": nn.Linear(8, 8), "drop": nn.Dropout(0.8)})
        self.again = nn.ModuleList([self.first])
        self.head = nn.Linear(8, 3)
        self.head.bias.requires_grad_(False)

    def forward(self, batch):
        hidden = self.parts["x"](torch.relu(self.again[0](batch["x"])))
        return {"logits": self.head(self.parts["drop"](hidden))}


class Attentive(nn.Module):
    """Takes tokens and a mask."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16, 0.1, batch_first=True)
        self.table, self.body, self.head = (
            nn.Embedding(10, 8),
            nn.TransformerEncoder(layer, 1),
            nn.Linear(8, 3),
        )

    def forward(self, tokens, mask=None):
        found = self.body(self.table(tokens), src_key_padding_mask=mask).mean(1)
        return self.head(found / found.norm(dim=-1, keepdim=True))


class Recurrent(nn.Module):
    """Keeps its state, in the order that it likes, of which it detaches a part."""

    def __init__(self) -> None:
        super().__init__()
        self.memory, self.head = nn.GRU(4, 8, batch_first=True), nn.Linear(8, 3)

    def forward(self, inputs):
        return self.head(self.memory(inputs)[1][0].detach())


def of_mappings(output, target):
    return nn.functional.cross_entropy(output["logits"], target)


def convolutions():
    return nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 3),
    )


def trainings():
    torch.manual_seed(0)
    targets = [torch.randint(0, 3, (16,)) for _ in range(3)]
    mask = torch.zeros(16, 5, dtype=torch.bool)
    plain = nn.functional.cross_entropy
    return {
        "mapping": (OfOneMapping(), [({"x": torch.randn(16, 4)}, target) for target in targets], of_mappings),
        "tokens": (
            Attentive(),
            [((torch.randint(0, 10, (16, 5)), mask), target) for target in targets],
            plain,
        ),
        "images": (convolutions(), [(torch.rand(16, 3, 8, 8) * 255, target) for target in targets], plain),
        "sequences": (
            Recurrent(),
            [(torch.randn(16, 6, 4), target) for target in targets],
            nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 3.0])),
        ),
        "halves": (
            convolutions().bfloat16(),
            [(torch.rand(16, 3, 8, 8).bfloat16(), target) for target in targets],
            plain,
        ),
    }


@pytest.mark.filterwarnings("ignore")  # of torch, on how it computes attention
@pytest.mark.parametrize("optimiser", [torch.optim.SGD, torch.optim.AdamW], ids=["sgd", "adamw"])
@pytest.mark.parametrize("name", ["mapping", "tokens", "images", "sequences", "halves"])
def test_what_applies_trains_and_is_what_its_code_says(name, optimiser):
    model, data, loss = trainings()[name]
    groups = [
        {"params": list(model.parameters())[:2], "lr": 0.02},
        {"params": list(model.parameters())[2:-1]},
    ]
    training = training_of(
        model, data, loss, optimiser(groups, lr=0.01, weight_decay=60.0), clip_norm=0.1, steps=6
    )
    view = view_of(training)
    applied = set()
    for each in NAMES:
        forms = REMEDIES[each].forms(view)
        assert bool(forms) == (REMEDIES[each].why_not(view) == ""), each
        for form in forms:
            check(form, training, steps=3)
        applied |= {each for _ in forms}
    common = {"lower_learning_rate", "raise_learning_rate", "warm_up", "change_optimiser", "clip_gradients"}
    own = {
        "mapping": {"standardise_input", "unfreeze", "lower_dropout"},
        "tokens": {"add_to_optimiser", "guard_operation"},
        "images": {"add_to_optimiser", "standardise_input"},
        "sequences": {"add_to_optimiser", "standardise_input", "remove_detach"},
        "halves": {"add_to_optimiser", "standardise_input", "raise_precision"},
    }[name]
    assert applied == common | own | {"raise_clip_norm", "lower_weight_decay"}
