"""How one finding leads to another: the sentences of the causal story, and where and when they can be true.

Which rules can be the root of which is said by the rules themselves (`Rule.follows_from`). What is here orders them
upstream to downstream, so that no two findings explain each other, and puts each link into words. The order is that
of a training step: data go in, weights stand as they were drawn, the optimiser moves them, signals flow forward,
gradients flow back, and the loss follows from all of it.
"""

from __future__ import annotations

from typing import Literal

Place = Literal["anywhere", "before", "behind"]
"""Where the root is: "before" is as deep or nearer to the input, "behind" as deep or nearer to the output."""

UPSTREAM_FIRST = (
    "unnormalised_input",
    "bad_output_layer",
    "symmetric_init",
    "poor_init",
    "uncleared_gradient",
    "lr_too_high",
    "exploding_activations",
    "saturated_activations",
    "dead_units",
    "exploding_gradient",
    "vanishing_gradient",
    "correlation_collapse",
    "clipping_always_on",
    "lr_too_low",
    "frozen_layers",
    "nonfinite_origin",
    "not_zero_centred",
    "loss_plateau",
)
"""Of two findings that are there at the same time, the one further down follows from the one further up."""

STANDING = frozenset(
    ("unnormalised_input", "bad_output_layer", "symmetric_init", "poor_init", "uncleared_gradient")
)
"""Roots that are there before the first step, whenever they are noticed."""

DRAWN = frozenset(("symmetric_init", "poor_init"))
"""Roots in the weights as they were drawn, for which a learning rate that suits them is only another way out."""

GROWING = frozenset(("exploding_activations", "exploding_gradient"))
"""So are these where they are there before the first step: what grows by depth makes every usual step too large."""

MOVING = frozenset(("lr_too_high", "lr_too_low"))
"""Roots that do nothing before the first update, so that what is there at the start does not follow from them."""

OUTCOMES = frozenset(("frozen_layers", "loss_plateau"))
"""What updates and loss come to: anything else can be the reason, though it may show at the first step."""

_ANYTHING = {
    "unnormalised_input": "everything behind the input has to live with its scale",
    "bad_output_layer": "the loss reads something else than what the last layer should say",
    "symmetric_init": "units that begin alike get the same gradient and stay alike",
    "poor_init": "the scale of the first weights is multiplied up layer by layer",
    "uncleared_gradient": "every update goes along the sum of all gradients so far, which nothing damps",
    "lr_too_high": "each update throws the weights further than the gradient's word holds",
    "lr_too_low": "the updates are too small to change anything in so many steps",
    "exploding_activations": "the signals have grown beyond what the layers behind them can use",
    "saturated_activations": "where an activation is flat, hardly any gradient comes back through it",
    "dead_units": "no gradient comes back through units that are silent for every sample",
    "exploding_gradient": "the gradient grows on its way back, and the updates with it",
    "vanishing_gradient": "the early layers get next to no gradient, so they do not learn",
    "correlation_collapse": "behind some depth all samples look the same, so nothing can tell them apart",
    "frozen_layers": "what does not move cannot learn",
    "nonfinite_origin": "one value that is not finite spoils everything computed from it",
    "clipping_always_on": "clipping makes every update the same small length",
}

_LINKS: dict[tuple[str, str], str] = {
    ("frozen_layers", "correlation_collapse"): (
        "layers that stay as they were drawn cannot learn to tell the samples apart"
    ),
    ("unnormalised_input", "lr_too_high"): (
        "curvature grows with the square of the inputs, and the largest stable learning rate falls with it"
    ),
    ("unnormalised_input", "saturated_activations"): (
        "inputs this large push the first pre-activations into the flat parts"
    ),
    ("unnormalised_input", "exploding_activations"): "the signals begin as large as the inputs are",
    ("unnormalised_input", "exploding_gradient"): (
        "a weight's gradient is the signal times the input, so it is as large as the inputs are"
    ),
    ("unnormalised_input", "dead_units"): (
        "one step with inputs of one sign and this size moves whole units below zero for every sample"
    ),
    (
        "unnormalised_input",
        "nonfinite_origin",
    ): "inputs this large overflow where they are multiplied or exponentiated",
    ("bad_output_layer", "vanishing_gradient"): "the gradient is weakened before it enters the last layer",
    ("bad_output_layer", "dead_units"): "the output's function passes no gradient where it is 0",
    ("bad_output_layer", "saturated_activations"): "the loss drives the output's function into its flat part",
    ("bad_output_layer", "nonfinite_origin"): "the loss is evaluated outside the range it is made for",
    (
        "symmetric_init",
        "vanishing_gradient",
    ): "equal or zero weights cancel or stop the gradient on its way back",
    ("symmetric_init", "frozen_layers"): "zero weights pass no gradient, so the layers before them get none",
    ("symmetric_init", "correlation_collapse"): "a layer whose units are all alike has one feature",
    ("poor_init", "exploding_activations"): "weights drawn this large multiply the signal at every layer",
    (
        "poor_init",
        "exploding_gradient",
    ): "weights drawn this large multiply the gradient at every layer on its way back",
    (
        "poor_init",
        "vanishing_gradient",
    ): "weights drawn this small shrink the gradient at every layer on its way back",
    (
        "poor_init",
        "saturated_activations",
    ): "weights drawn this large push pre-activations into the flat parts",
    ("poor_init", "dead_units"): "weights or biases drawn so put whole units below zero for every sample",
    ("poor_init", "correlation_collapse"): "with weights drawn so, samples grow alike layer by layer",
    (
        "poor_init",
        "frozen_layers",
    ): "weights drawn this small let no gradient through, so the layers before get none",
    ("poor_init", "nonfinite_origin"): "signals that grow at every layer overflow at last",
    (
        "poor_init",
        "lr_too_high",
    ): "with weights drawn this large the loss is steep, and any usual step overshoots",
    (
        "poor_init",
        "lr_too_low",
    ): "from weights drawn this far off, updates of a usual size take too long to bring them back",
    ("lr_too_high", "dead_units"): "a step too large moved whole units below zero for every sample",
    (
        "lr_too_high",
        "saturated_activations",
    ): "steps too large drove the weights up, and pre-activations with them",
    (
        "lr_too_high",
        "exploding_activations",
    ): "steps too large made the weights grow, and the signals with them",
    ("lr_too_high", "exploding_gradient"): "each overshoot lands where the loss is steeper still",
    ("lr_too_high", "vanishing_gradient"): "steps too large left units that pass no gradient",
    ("lr_too_high", "nonfinite_origin"): "updates too large made the weights grow until a value overflowed",
    ("lr_too_high", "correlation_collapse"): "steps too large left one direction that swamps all others",
    (
        "lr_too_high",
        "frozen_layers",
    ): "steps too large left units that pass no gradient, so the layers before get none",
    (
        "lr_too_high",
        "clipping_always_on",
    ): "the gradient that a step too large leaves is clipped again and again",
    (
        "exploding_activations",
        "saturated_activations",
    ): "signals this large lie in the flat parts of what follows",
    (
        "exploding_activations",
        "exploding_gradient",
    ): "a weight's gradient grows with the signal that enters it",
    ("exploding_activations", "nonfinite_origin"): "signals that keep growing overflow at last",
    ("saturated_activations", "vanishing_gradient"): (
        "flat activations multiply the gradient by nearly 0, layer after layer"
    ),
    (
        "saturated_activations",
        "frozen_layers",
    ): "behind flat activations the gradient is exactly 0, so nothing moves",
    ("dead_units", "vanishing_gradient"): "dead units pass no gradient to the layers before them",
    (
        "dead_units",
        "frozen_layers",
    ): "dead units pass no gradient, so the weights before them get none and stay",
    (
        "dead_units",
        "correlation_collapse",
    ): "with so many units silent, few features are left to tell samples apart",
    ("exploding_gradient", "nonfinite_origin"): "updates from a gradient this large made a value overflow",
    ("exploding_gradient", "clipping_always_on"): "a gradient this large is clipped at every step",
    ("exploding_gradient", "lr_too_high"): "with a gradient this large, any usual learning rate oversteps",
    ("clipping_always_on", "lr_too_low"): (
        "a step of a clipped gradient is as short as one with a far smaller learning rate"
    ),
    ("vanishing_gradient", "correlation_collapse"): (
        "what shrinks the gradient on its way back shrinks the differences between samples on their way forward: "
        "both go with the same χ₁ per layer"
    ),
    ("vanishing_gradient", "frozen_layers"): "the gradient is too small to move what it should move",
    ("vanishing_gradient", "lr_too_low"): "the updates are small since the gradient is",
}

_PLACES: dict[tuple[str, str], Place] = {
    ("saturated_activations", "vanishing_gradient"): "behind",
    ("dead_units", "vanishing_gradient"): "behind",
    ("saturated_activations", "frozen_layers"): "behind",
    ("dead_units", "frozen_layers"): "behind",
    ("exploding_activations", "saturated_activations"): "before",
    ("dead_units", "correlation_collapse"): "before",
}


def story(root: str, consequence: str) -> str:
    """How a finding of the rule `root` leads to one of the rule `consequence`, in words; "" where nothing is known."""
    return _LINKS.get((root, consequence), _ANYTHING.get(root, ""))


def place(root: str, consequence: str) -> Place:
    """Where the root has to be, seen from its consequence."""
    return _PLACES.get((root, consequence), "anywhere")


def upstream(rule: str) -> int:
    """How far downstream a rule is; rules that are not listed come behind all others."""
    return UPSTREAM_FIRST.index(rule) if rule in UPSTREAM_FIRST else len(UPSTREAM_FIRST)
