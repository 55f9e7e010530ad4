"""The half that is held back: the same mechanisms on other recipes at other doses, and mechanisms of its own.

Recipes come from the same factors by other seeds, with widths, batches and rates in between; none is a recipe of the
calibration half. Doses lie between those of the calibration half and a little beyond. `UNSEEN` are plans of
mechanisms that the calibration half does not have at all.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from .bases import (
    binary,
    cnn,
    deep_mlp,
    lstm,
    mlp,
    narrow,
    normed_mlp,
    relu_cnn,
    relu_mlp,
    resnet,
    sgd_mlp,
    square_regression,
    tanh_mlp,
    transformer,
)
from .plans import FAULTS, FURTHER, SOUND, Plan
from .recipe import Recipe

COUNTS = {
    "sigmoid_stack": 3,
    "much_amplified_blocks": 5,
    "shrunk_weights": 3,
    "grown_weights": 4,
    "positive_weights": 3,
    "squared_units": 12,
    "exponential_chain": 3,
    "steep_before_activation": 4,
    "saturating_bias": 5,
    "saturating_weights": 5,
    "deep_default_start": 5,
    "biases_over_weights": 5,
    "constant_weights": 4,
    "zero_weights": 3,
    "doubled_units": 3,
    "rate_times_many": 4,
    "rate_beyond_all": 5,
    "rate_times_few": 4,
    "rate_of_one": 3,
    "clipped_to_nothing": 11,
    "trained_before": 3,
}
"""Where it is not one or two: rules that few mechanisms bring about have more cases of each."""

DOSES: dict[str, Sequence[float]] = {
    "damped_blocks": (0.15, 0.07, 0.03),
    "forgetful_recurrence": (0.15, 0.05),
    "narrow_uniform": (0.03, 0.01),
    "shrunk_weights": (0.15, 0.05, 0.02),
    "grown_weights": (4, 7, 14),
    "normal_weights": (0.85, 1.3),
    "positive_weights": (0.7, 1.3),
    "big_head": (170, 500),
    "amplified_blocks": (4, 5.5),
    "much_amplified_blocks": (8, 15, 30),
    "wild_recurrence": (4, 7),
    "growing_recurrence": (2.2, 2.8),
    "doubled_residual": (4.5, 6, 9),
    "squared_units": (2.5, 4),
    "biases_over_weights": (0.25, 0.15),
    "sunk_bias": (4.5, 9, 16),
    "sunk_norm": (5, 8),
    "negative_weights": (0.7, 1.3),
    "shifted_relu": (6, 11),
    "steep_before_activation": (65, 25, 150),
    "saturating_bias": (9, 16),
    "saturating_weights": (22, 45),
    "constant_weights": (0.05, 0.2, 0.5),
    "doubled_units": (1, 3),
    "raw_bytes": (500, 2000),
    "wide_column": (550, 2000),
    "calendar_column": (4500, 20000),
    "far_from_zero": (55, 170, 600),
    "tiny_inputs": (3e-4, 3e-5),
    "wide_inputs": (300, 3000),
    "inputs_without_content": (1.0,),
    "rate_times_many": (170, 550, 2000),
    "rate_beyond_all": (1700, 6000),
    "rate_of_one": (1.7, 5.0),
    "rate_times_few": (5e-4, 3e-5, 2e-3),
    "rate_of_nothing": (3e-7, 3e-8),
    "lost_to_rounding": (5e-4, 1e-4),
    "clipped_to_nothing": (5e-4, 2e-3, 3e-4),
    "decay_beyond_loss": (2.0, 5.0),
    "nearly_all_dropped": (0.93, 0.97),
    "log_of_softmax": (50, 200),
    "hole_in_data": (3, 9, 11),
    "hole_in_targets": (5, 1),
    "sparse_table": (900, 4000),
    "open_gates": (4, 6.5),
    "trained_before": (600, 1000),
    "warm_up": (70, 150),
    "cosine_rate": (500,),
    "half_dropped": (0.4, 0.2),
    "small_batches": (6, 12),
    "wide_loss": (100.0, 1e-2, 1e4),
    "weight_decay": (0.03, 0.3),
    "seldom_clipped": (3.0, 7.0),
    "always_clipped": (0.7, 0.3),
    "sparse_units": (0.4, 0.65),
    "layer_rates": (0.6, 0.4),
    "smoothed_labels": (0.15, 0.3),
    "penalised": (3e-4, 2e-3),
    "constant_columns": (4, 5),
    "counts_behind_relu": (2.0, 3.5),
    "shares_behind_sigmoid": (1.5, 3.0),
    "few_of_one": (8, 14),
}


def _on_digits(draw: random.Random) -> Recipe:
    return replace(mlp(draw), data="digits", optimiser="adam", rate=3e-3)


def _adamw(draw: random.Random) -> Recipe:
    return replace(draw.choice((relu_mlp, tanh_mlp, relu_cnn))(draw), optimiser="adamw", rate=2e-3)


def _batch_normed(draw: random.Random) -> Recipe:
    return replace(draw.choice((relu_mlp, tanh_mlp, cnn))(draw), normalisation="batch")


UNSEEN = (
    Plan("scores_over_batch", 3, (mlp, cnn)),
    Plan("never_zeroed", 3, (sgd_mlp, lambda draw: replace(cnn(draw), optimiser="sgd", rate=0.05))),
    Plan("shifted_targets", 3, (mlp, cnn)),
    Plan(
        "no_activation",
        3,
        (
            lambda draw: replace(narrow(draw), data="circles"),
            lambda draw: replace(square_regression(draw), data="sine", depth=2),
            lambda draw: replace(binary(draw), depth=3),
        ),
    ),
    Plan("cold_softmax", 3, (sgd_mlp, relu_cnn)),
    Plan("decay_of_adamw", 2, (_adamw,)),
    Plan("pairs_normalised", 2, (lambda draw: replace(normed_mlp(draw), normalisation="batch"),)),
    Plan(
        "padded_last_step",
        3,
        (lambda draw: replace(lstm(draw), data=draw.choice(("digit_rows", "first_sign", "waves"))),),
    ),
    Plan("weakened_backward", 3, (deep_mlp,)),
    Plan("rounded_output", 2, (square_regression,)),
    Plan("wide_epsilon", 2, (_on_digits, transformer)),
    Plan("schedule_by_batches", 3, (mlp, cnn, transformer)),
    Plan("single_outlier", 3, (sgd_mlp, relu_cnn)),
    Plan("absent_classes", 3, (_on_digits, lambda draw: replace(cnn(draw), data="digit_images"))),
    Plan("in_evaluation", 2, (_batch_normed,)),
    Plan("frozen_norms", 2, (_batch_normed,)),
    Plan("wide_and_slow", 2, (lambda draw: replace(relu_mlp(draw), depth=2, optimiser="adam", rate=2e-4),)),
    Plan("he_for_tanh", 2, (tanh_mlp,)),
    Plan("checkpoints", 2, (mlp, transformer)),
    Plan("shared_layer", 2, (lambda draw: replace(tanh_mlp(draw), depth=draw.randint(3, 5)),)),
    Plan("spectral", 2, (relu_mlp, cnn)),
    Plan("averaged", 2, (mlp, cnn)),
    Plan("norm_momentum", 2, (_batch_normed, resnet)),
    Plan("smoothed_much", 2, (_on_digits,)),
)


def plans() -> tuple[Plan, ...]:
    """All plans of the half, in the order of the other's."""
    return (*(replace(one, count=_count(one)) for one in (*FAULTS, *SOUND, *FURTHER)), *UNSEEN)


def _count(plan: Plan) -> int:
    half = (plan.count + 1) // 2
    return COUNTS.get(plan.mechanism, min(2, half)) if plan.mechanism else half


def varied(recipe: Recipe, draw: random.Random) -> Recipe:
    """The same kind of recipe with factors in between: width (even, as heads need), batch and rate."""
    return replace(
        recipe,
        width=2 * round(recipe.width * draw.choice((0.75, 1.0, 1.25)) / 2),
        batch=draw.choice((24, 32, 48)),
        rate=recipe.rate * draw.choice((0.7, 1.0, 1.4)),
    )
