"""How many cases there are of each mechanism, and on which kinds of recipes."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .bases import (
    Base,
    bare_residual_mlp,
    binary,
    cnn,
    copies,
    deep_mlp,
    deep_transformer,
    long_rnn,
    lstm,
    memory,
    mlp,
    narrow,
    normed_mlp,
    raw_regression,
    recurrent,
    regression,
    relu_cnn,
    relu_mlp,
    relu_rnn,
    residual_mlp,
    resnet,
    sgd_mlp,
    shallow_sigmoid,
    square_regression,
    tanh_mlp,
    transformer,
    very_deep_tanh,
    words,
)


@dataclass(frozen=True)
class Plan:
    """So many cases of one mechanism on recipes of these kinds."""

    mechanism: str
    count: int
    bases: tuple[Base, ...]


FAULTS = (
    Plan("sigmoid_stack", 6, (deep_mlp, deep_mlp, lambda draw: replace(relu_cnn(draw), depth=5))),
    Plan("hard_sigmoid_stack", 4, (deep_mlp,)),
    Plan("softmax_stack", 4, (deep_mlp, relu_mlp)),
    Plan("damped_blocks", 6, (deep_mlp, deep_mlp, lambda draw: replace(relu_cnn(draw), depth=5))),
    Plan("forgetful_recurrence", 6, (long_rnn,)),
    Plan(
        "narrow_uniform",
        5,
        (
            lambda draw: replace(deep_mlp(draw), data="blobs", width=5, depth=draw.choice((6, 10, 15))),
            deep_mlp,
        ),
    ),
    Plan("shrunk_weights", 6, (deep_mlp, relu_mlp, tanh_mlp, relu_cnn)),
    Plan("grown_weights", 8, (relu_mlp, deep_mlp, relu_cnn, sgd_mlp)),
    Plan("normal_weights", 6, (relu_mlp, tanh_mlp, relu_cnn, lstm)),
    Plan("positive_weights", 5, (relu_mlp, tanh_mlp, deep_mlp)),
    Plan("big_head", 4, (mlp, relu_cnn, recurrent)),
    Plan(
        "exponential_chain",
        5,
        (lambda draw: replace(relu_mlp(draw), depth=draw.randint(3, 8), optimiser="adam", rate=1e-3),),
    ),
    Plan("amplified_blocks", 6, (deep_mlp, relu_cnn, relu_mlp)),
    Plan("growing_recurrence", 5, (relu_rnn,)),
    Plan("doubled_residual", 6, (bare_residual_mlp,)),
    Plan("squared_units", 5, (relu_mlp, deep_mlp)),
    Plan(
        "sunk_bias",
        6,
        (relu_mlp, relu_cnn, lambda draw: replace(deep_mlp(draw), activation="relu", initialisation="he")),
    ),
    Plan("sunk_norm", 4, (normed_mlp, lambda draw: replace(relu_cnn(draw), normalisation="batch"))),
    Plan("negative_weights", 5, (relu_mlp, lambda draw: replace(relu_cnn(draw), depth=4))),
    Plan("shifted_relu", 4, (relu_mlp, relu_cnn)),
    Plan("relu_of_minus_relu", 3, (relu_mlp, relu_cnn)),
    Plan(
        "steep_before_activation", 7, (tanh_mlp, lambda draw: replace(tanh_mlp(draw), activation="sigmoid"))
    ),
    Plan("saturating_bias", 5, (tanh_mlp, shallow_sigmoid)),
    Plan("saturating_weights", 7, (tanh_mlp, shallow_sigmoid, lstm)),
    Plan("deep_default_start", 7, (very_deep_tanh,)),
    Plan(
        "biases_over_weights",
        6,
        (lambda draw: replace(deep_mlp(draw), activation="tanh", initialisation="default"), deep_mlp),
    ),
    Plan("zero_weights", 5, (relu_mlp, tanh_mlp, cnn)),
    Plan("constant_weights", 7, (relu_mlp, tanh_mlp, relu_cnn, recurrent)),
    Plan("doubled_units", 6, (relu_mlp, tanh_mlp, narrow)),
    Plan("alike_units", 4, (relu_mlp, tanh_mlp)),
    Plan("raw_bytes", 6, (sgd_mlp, relu_cnn, tanh_mlp)),
    Plan("wide_column", 4, (sgd_mlp, tanh_mlp)),
    Plan("calendar_column", 4, (sgd_mlp, tanh_mlp, square_regression)),
    Plan("far_from_zero", 5, (sgd_mlp, tanh_mlp, square_regression, relu_cnn)),
    Plan("tiny_inputs", 4, (sgd_mlp, tanh_mlp, relu_cnn)),
    Plan("wide_inputs", 4, (sgd_mlp, recurrent, regression)),
    Plan(
        "softmax_twice",
        4,
        (lambda draw: replace(mlp(draw), data="digits", optimiser="sgd", rate=0.05), relu_cnn),
    ),
    Plan(
        "hidden_softmax",
        4,
        (lambda draw: replace(relu_mlp(draw), data="digits", optimiser="sgd", rate=0.05), transformer),
    ),
    Plan(
        "sigmoid_on_scores",
        4,
        (lambda draw: replace(relu_mlp(draw), data="digits", optimiser="sgd", rate=0.05), cnn),
    ),
    Plan("relu_on_scores", 5, (relu_mlp, relu_cnn, recurrent)),
    Plan("wrong_softmax_axis", 3, (mlp, cnn)),
    Plan("relu_on_regression", 5, (square_regression,)),
    Plan(
        "tanh_on_regression", 4, (raw_regression, lambda draw: replace(square_regression(draw), data="sine"))
    ),
    Plan("sigmoid_on_regression", 4, (square_regression, raw_regression)),
    Plan("softmax_of_one", 3, (binary,)),
    Plan("nll_of_scores", 4, (mlp, recurrent)),
    Plan("nll_of_softmax", 3, (mlp,)),
    Plan("broadcast_targets", 3, (square_regression,)),
    Plan("rate_times_many", 10, (sgd_mlp, mlp, cnn, recurrent, transformer, relu_mlp)),
    Plan(
        "rate_of_one",
        6,
        (relu_mlp, relu_cnn, recurrent, lambda draw: replace(transformer(draw), optimiser="adam")),
    ),
    Plan("rate_times_few", 10, (mlp, cnn, recurrent, transformer, regression)),
    Plan("rate_of_nothing", 5, (mlp, cnn, transformer)),
    *(
        Plan(name, 3, (memory,))
        for name in ("frozen_behind_optimiser", "left_out_of_optimiser", "only_biases", "optimiser_of_a_copy")
    ),
    Plan("replaced_layers", 3, (memory,)),
    Plan("zero_rate_group", 2, (memory,)),
    Plan("detached", 4, (narrow, recurrent, transformer)),
    Plan("detached_midway", 3, (narrow, lambda draw: replace(narrow(draw), depth=5))),
    Plan("without_gradient", 4, (narrow, recurrent, transformer)),
    Plan("sign_between", 3, (narrow,)),
    Plan("lost_to_rounding", 3, (relu_mlp, tanh_mlp)),
    Plan("clipped_to_nothing", 5, (sgd_mlp, relu_cnn)),
    Plan("targets_of_others", 4, (mlp, cnn, recurrent)),
    Plan("inputs_without_content", 3, (mlp, cnn)),
    Plan("decay_beyond_loss", 3, (relu_mlp, relu_cnn)),
    Plan("nearly_all_dropped", 3, (relu_mlp,)),
    Plan("log_of_softmax", 3, (mlp, cnn)),
    Plan("entropy_with_zero", 2, (mlp,)),
    Plan("root_of_error", 3, (square_regression,)),
    Plan("hole_in_data", 4, (mlp, cnn, recurrent)),
    Plan("hole_in_targets", 2, (square_regression,)),
    Plan("zero_by_zero", 3, (lambda draw: replace(mlp(draw), data=draw.choice(("digits", "many_blobs"))),)),
    Plan(
        "masked_everywhere",
        3,
        (
            lambda draw: replace(recurrent(draw), data="waves"),
            lambda draw: replace(transformer(draw), data="digit_rows", loss="cross_entropy"),
        ),
    ),
    Plan("half_adam", 3, (relu_mlp, tanh_mlp)),
    Plan("root_at_zero", 3, (relu_mlp, relu_cnn)),
    Plan("log_of_relu", 2, (relu_mlp,)),
    Plan("unit_length", 2, (relu_mlp,)),
    Plan("divided_by_spread", 2, (relu_mlp,)),
    Plan("log_of_sigmoid", 2, (relu_mlp,)),
)

SOUND = (
    Plan("", 8, (mlp,)),
    Plan("", 5, (cnn,)),
    Plan("", 8, (recurrent,)),
    Plan("", 6, (transformer,)),
    Plan("", 4, (deep_mlp,)),
    Plan("", 3, (very_deep_tanh,)),
    Plan("", 4, (residual_mlp,)),
    Plan("", 3, (resnet,)),
    Plan("", 2, (deep_transformer,)),
    Plan("", 5, (regression,)),
    Plan("", 3, (raw_regression,)),
    Plan("", 4, (copies,)),
    Plan("", 3, (binary,)),
    Plan("", 4, (shallow_sigmoid,)),
    Plan("", 3, (long_rnn,)),
    Plan("", 4, (relu_mlp,)),
    Plan("sparse_table", 4, (words,)),
    Plan("bias_before_norm", 3, (relu_mlp, cnn)),
    Plan("open_gates", 4, (lstm,)),
    Plan("zero_head", 4, (mlp, cnn, transformer)),
    Plan("zero_branches", 4, (lambda draw: replace(residual_mlp(draw), normalisation="layer"), transformer)),
    Plan(
        "frozen_backbone",
        3,
        (
            lambda draw: replace(
                relu_mlp(draw), data="digits", width=64, depth=1, optimiser="adam", rate=1e-2
            ),
        ),
    ),
    Plan("half_frozen", 3, (lambda draw: replace(relu_mlp(draw), data="digits", depth=3),)),
    Plan("trained_before", 6, (lambda draw: replace(mlp(draw), data="many_blobs"), relu_mlp, cnn, recurrent)),
    Plan("warm_up", 4, (transformer, mlp)),
    Plan("cosine_rate", 3, (mlp, cnn)),
    Plan("half_dropped", 4, (lambda draw: replace(relu_mlp(draw), width=48, depth=2), transformer)),
    Plan("small_batches", 4, (mlp, cnn)),
    Plan("summed_loss", 3, (lambda draw: replace(relu_mlp(draw), optimiser="sgd", rate=2e-3),)),
    Plan("wide_loss", 3, (lambda draw: replace(relu_mlp(draw), optimiser="adam", rate=3e-3),)),
    Plan("weight_decay", 3, (mlp, transformer)),
    Plan("seldom_clipped", 3, (recurrent, mlp)),
    Plan("always_clipped", 3, (recurrent, relu_mlp)),
    Plan(
        "sparse_units",
        4,
        (lambda draw: replace(relu_mlp(draw), width=48, optimiser="adam", rate=3e-3), relu_cnn),
    ),
    Plan("layer_rates", 3, (lambda draw: replace(relu_mlp(draw), optimiser="adam", rate=5e-3),)),
    Plan("unused_head", 2, (mlp,)),
    Plan("log_softmax_and_nll", 4, (mlp, recurrent)),
    Plan("log_of_chances", 3, (mlp,)),
    Plan("sigmoid_and_bce", 3, (binary,)),
    Plan("one_hot_square", 2, (mlp,)),
    Plan("smoothed_labels", 3, (mlp, cnn)),
    Plan("penalised", 2, (mlp,)),
    Plan("constant_columns", 3, (lambda draw: replace(mlp(draw), data="digits"),)),
    Plan("counts_behind_relu", 3, (square_regression,)),
    Plan("shares_behind_sigmoid", 3, (square_regression,)),
    Plan("few_of_one", 3, (lambda draw: replace(mlp(draw), data=draw.choice(("moons", "circles"))),)),
    Plan("autocast", 2, (mlp,)),
    Plan(
        "tied_words",
        3,
        (lambda draw: replace(transformer(draw), data="next_word", loss="words_cross_entropy"),),
    ),
)

FURTHER = (
    Plan("much_amplified_blocks", 8, (deep_mlp, sgd_mlp, relu_cnn, relu_mlp)),
    Plan("wild_recurrence", 6, (relu_rnn,)),
    Plan("rate_beyond_all", 12, (sgd_mlp, relu_mlp, recurrent, transformer, cnn, deep_mlp)),
)
"""Behind the others, so that their seeds stay as they were."""
