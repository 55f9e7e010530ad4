"""Ask theory about a model before spending a step on it: predicted gradients beside the first backward pass."""

import torch
from torch import nn

import evenflow as ef

torch.manual_seed(0)
layers = [module for _ in range(30) for module in (nn.Linear(100, 100), nn.GELU())]
model = nn.Sequential(nn.Linear(64, 100), nn.GELU(), *layers, nn.Linear(100, 10))
inputs, targets = torch.randn(64, 64), torch.randint(10, (64,))
loss = nn.CrossEntropyLoss()

# A second of theory: the mean over random initialisations and its spread.
weights = ef.predict(model, (inputs, targets), loss).select(kind="weight")

# One real backward pass, in float64 so that nothing underflows.
real = model.double()
loss(real(inputs.double()), targets).backward()

for site, log, deviation in zip(
    weights.sites, weights["grad_norm_log10"], weights["grad_norm_log10_sd"], strict=True
):
    gradient = real.get_parameter(site.name).grad
    assert gradient is not None
    print(
        f"{site.name:10}  predicted {log:7.2f} ± {deviation:.2f}   measured {float(gradient.norm().log10()):7.2f}"
    )

# What would bring the gradient to the first layer.
print(ef.advise(model, (inputs, targets), loss).verdict)
