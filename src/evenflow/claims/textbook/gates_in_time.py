"""What is left of a gradient after 100 steps back in time: plain recurrence, LSTM and GRU, by the bias of the gate."""

from __future__ import annotations

from evenflow.claims.claim import Claim, Settings
from evenflow.claims.figure import Figures, above, sampled, within
from evenflow.claims.verdict import Verdict, case, core, weigh

_UNITS, _STEPS = 64, 40
_BIASES = {
    "default": (0.0, "PyTorch's default biases"),
    "one": (1.0, "1 added to the bias of the gate that keeps the state"),
    "five": (5.0, "5 added to that bias"),
}


def experiment(settings: Settings, gated: tuple[str, str] = ("LSTM", "GRU")) -> Figures:
    """Factor on the norm of the gradient a step back in time, 64 units, random inputs and PyTorch's default weights.

    Read between steps 40 and 80 from the end, so that what happens at the ends does not count. The bias is that of the
    gate that keeps the state: forget gate of the LSTM, update gate of the GRU.
    """
    seeds = settings.seeds(14, 40)

    def factors(kind: str, bias: float, writing: float = 0.0) -> list[float]:
        return [_factor(kind, bias, writing, seed) for seed in seeds]

    plain = factors("RNN", 0.0)
    figures = {"plain": sampled("plain recurrence", plain)}
    for role, kind in zip(("LSTM", "GRU"), gated, strict=True):
        for name, (bias, words) in _BIASES.items():
            figures[f"{role} {name}"] = sampled(f"{kind}, {words}", factors(kind, bias))
        more = [b - a for a, b in zip(plain, factors(kind, 0.0), strict=True)]
        figures[f"{role} more"] = sampled(f"{kind} minus plain recurrence", more)
    figures["LSTM closed"] = sampled(
        f"{gated[0]}, 5 added to that bias, 5 taken from the input gate's", factors(gated[0], 5.0, -5.0)
    )
    return figures


def _factor(kind: str, bias: float, writing: float, seed: int) -> float:
    import torch

    torch.manual_seed(seed)
    network = getattr(torch.nn, kind)(8, _UNITS).double()
    if kind in ("LSTM", "GRU"):
        with torch.no_grad():
            network.bias_ih_l0[_UNITS : 2 * _UNITS] += bias  # forget gate, update gate
            network.bias_ih_l0[:_UNITS] += writing  # input gate of the LSTM
    inputs, pull = torch.randn(2 * _STEPS, 16, 8).double(), torch.randn(16, _UNITS).double()

    def left(steps: int) -> float:
        """Norm of the gradient of the last output with respect to the state that many steps earlier."""
        start = torch.zeros(1, 16, _UNITS, dtype=torch.float64)
        with torch.no_grad():
            state = network(inputs[: 2 * _STEPS - steps])[1] if steps < 2 * _STEPS else None
        if state is None:
            state = (start, start.clone()) if kind == "LSTM" else start
        states = [one.detach().requires_grad_() for one in (state if isinstance(state, tuple) else (state,))]
        given = tuple(states) if kind == "LSTM" else states[0]
        last = network(inputs[2 * _STEPS - steps :], given)[0][-1]
        gradients = torch.autograd.grad((last * pull).sum(), states)
        return float(sum((one**2).sum() for one in gradients) ** 0.5)

    return (left(2 * _STEPS) / left(_STEPS)) ** (1 / _STEPS)


def judge(figures: Figures) -> Verdict:
    """Mended: over 100 steps neither less than a hundredth nor more than a hundredfold is left."""
    low, high = 0.01 ** (1 / 100), 100 ** (1 / 100)
    return weigh(
        core(
            "an LSTM keeps more than a plain recurrence", above(figures["LSTM more"], 0), figures["LSTM more"]
        ),
        core("a GRU keeps more than a plain recurrence", above(figures["GRU more"], 0), figures["GRU more"]),
        *(
            case(
                f"{kind} with {words}",
                within(figures[f"{kind} {name}"], low, high),
                figures[f"{kind} {name}"],
            )
            for kind in ("LSTM", "GRU")
            for name, (_, words) in _BIASES.items()
        ),
        case(
            "LSTM with that and 5 taken from the bias of the input gate",
            within(figures["LSTM closed"], low, high),
            figures["LSTM closed"],
        ),
    )


CLAIM = Claim(
    name="gates_in_time",
    sentence="LSTM and GRU mend the vanishing of gradients in time.",
    source="tutorials on recurrent networks",
    true_if="After 100 steps back in time between a hundredth and a hundredfold of the gradient is left.",
    false_if="It is lost as in a plain recurrence, as long as the gate that keeps the state is half closed.",
    experiment=experiment,
    judge=judge,
    home=__name__,
)
