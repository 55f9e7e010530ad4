"""The fifteen activation functions that have a name from the start: plain data, in the order of the list."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from evenflow.spec import formulas


@dataclass(frozen=True)
class Entry:
    """One function of the catalogue.

    `value` and `slope` take `(z, xp)`, or `(z, xp, parameter)` where `parameter` has a default. In the two
    formulas the letter of `symbol` stands for the parameter.
    """

    title: str
    formula: str
    derivative_formula: str
    reference: str
    value: Callable[..., Any]
    slope: Callable[..., Any]
    parameter: float | None = None
    symbol: str = ""
    learned: bool = False


ALIASES = {"swish": "silu"}

CATALOGUE: dict[str, Entry] = {
    "sigmoid": Entry(
        "Sigmoid",
        "1/(1 + exp(-z))",
        "f(z)·(1 - f(z))",
        "Rumelhart, Hinton & Williams 1986, Learning representations by back-propagating errors",
        formulas.sigmoid,
        formulas.sigmoid_slope,
    ),
    "tanh": Entry(
        "Tanh",
        "(exp(z) - exp(-z))/(exp(z) + exp(-z))",
        "1 - f(z)²",
        "LeCun, Bottou, Orr & Müller 1998, Efficient BackProp, section 4.4",
        formulas.tanh,
        formulas.tanh_slope,
    ),
    "relu": Entry(
        "ReLU",
        "max(0, z)",
        "1 if z > 0 else 0",
        "Nair & Hinton 2010, Rectified linear units improve restricted Boltzmann machines",
        formulas.relu,
        formulas.relu_slope,
    ),
    "leaky_relu": Entry(
        "Leaky ReLU",
        "z if z > 0 else a·z",
        "1 if z > 0 else a",
        "Maas, Hannun & Ng 2013, Rectifier nonlinearities improve neural network acoustic models",
        formulas.leaky_relu,
        formulas.leaky_relu_slope,
        parameter=0.01,
        symbol="a",
    ),
    "prelu": Entry(
        "PReLU",
        "z if z > 0 else a·z, a learned for each channel",
        "1 if z > 0 else a",
        "He, Zhang, Ren & Sun 2015, Delving deep into rectifiers, equation 1",
        formulas.leaky_relu,
        formulas.leaky_relu_slope,
        parameter=0.25,
        symbol="a",
        learned=True,
    ),
    "elu": Entry(
        "ELU",
        "z if z > 0 else α·(exp(z) - 1)",
        "1 if z > 0 else α·exp(z)",
        "Clevert, Unterthiner & Hochreiter 2016, Fast and accurate deep network learning by ELUs",
        formulas.elu,
        formulas.elu_slope,
        parameter=1.0,
        symbol="α",
    ),
    "selu": Entry(
        "SELU",
        "λ·z if z > 0 else λ·α·(exp(z) - 1), λ = 1.05070, α = 1.67326",
        "λ if z > 0 else λ·α·exp(z)",
        "Klambauer, Unterthiner, Mayr & Hochreiter 2017, Self-normalizing neural networks",
        formulas.selu,
        formulas.selu_slope,
    ),
    "gelu": Entry(
        "GELU",
        "z·Φ(z), Φ the standard normal distribution function",
        "Φ(z) + z·φ(z), φ the standard normal density",
        "Hendrycks & Gimpel 2016, Gaussian error linear units",
        formulas.gelu,
        formulas.gelu_slope,
    ),
    "gelu_tanh": Entry(
        "GELU (tanh form)",
        "z·(1 + tanh(u))/2, u = √(2/π)·(z + 0.044715·z³)",
        "(1 + tanh(u))/2 + z·u'·(1 - tanh(u)²)/2",
        "Hendrycks & Gimpel 2016, Gaussian error linear units, section 2",
        formulas.gelu_tanh,
        formulas.gelu_tanh_slope,
    ),
    "silu": Entry(
        "SiLU",
        "z·σ(z), σ the sigmoid",
        "σ(z)·(1 + z·(1 - σ(z)))",
        "Elfwing, Uchibe & Doya 2018, Sigmoid-weighted linear units; as Swish: Ramachandran, Zoph & Le 2017",
        formulas.silu,
        formulas.silu_slope,
    ),
    "softplus": Entry(
        "Softplus",
        "log(1 + exp(z))",
        "σ(z), σ the sigmoid",
        "Dugas, Bengio, Bélisle, Nadeau & Garcia 2001, Incorporating second-order functional knowledge",
        formulas.softplus,
        formulas.softplus_slope,
    ),
    "mish": Entry(
        "Mish",
        "z·tanh(s), s = log(1 + exp(z))",
        "tanh(s) + z·(1 - tanh(s)²)·σ(z)",
        "Misra 2020, Mish: a self regularized non-monotonic activation function",
        formulas.mish,
        formulas.mish_slope,
    ),
    "hardswish": Entry(
        "Hardswish",
        "z·min(max(z + 3, 0), 6)/6",
        "0 if z ≤ -3, 1 if z ≥ 3, else z/3 + 1/2",
        "Howard et al. 2019, Searching for MobileNetV3, section 5.2",
        formulas.hardswish,
        formulas.hardswish_slope,
    ),
    "softsign": Entry(
        "Softsign",
        "z/(1 + |z|)",
        "1/(1 + |z|)²",
        "Bergstra, Desjardins, Lamblin & Bengio 2009, Quadratic polynomials learn better image features",
        formulas.softsign,
        formulas.softsign_slope,
    ),
    "identity": Entry("Identity", "z", "1", "", formulas.identity, formulas.identity_slope),
}
