"""`evenflow predict`: what theory says of a network's gradients before it is trained."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from evenflow.cli.lists import whole

if TYPE_CHECKING:
    from evenflow.spec.data import Data
    from evenflow.spec.network import Network

_Flag = Parameter(negative="")
_Numbers = Parameter(allow_leading_hyphen=True)
_Whole = Parameter(converter=whole)

_PLANE = (
    "activation",
    "width",
    "initialisation",
    "bias_initialisation",
    "weight_variance",
    "bias_variance",
    "plot",
)
_CHAIN = ("activation", "depth", "weight", "at")
_ADVICE_NOT = ("measure", "every_layer", "plot")
_OWNERS = {"weight": "chain", "at": "chain", "weight_variance": "map", "bias_variance": "map"}


def predict(
    *,
    depth: Annotated[int | None, _Whole] = None,
    width: str | None = None,
    activation: str | None = None,
    initialisation: str | None = None,
    bias_initialisation: str | None = None,
    normalisation: Literal["none", "batch", "layer", "rms"] | None = None,
    normalisation_position: Literal["before", "after"] | None = None,
    residual: Literal["none", "pre", "post"] | None = None,
    residual_scale: float | None = None,
    network: Path | None = None,
    data: str | None = None,
    batch: Annotated[int | None, _Whole] = None,
    loss: str | None = None,
    measure: Annotated[int | None, _Whole] = None,
    every_layer: Annotated[bool, Parameter(name="--all", negative="")] = False,
    plot: Path | None = None,
    phase_map: Annotated[bool, Parameter(name="--map", negative="")] = False,
    weight_variance: float | None = None,
    bias_variance: float | None = None,
    chain: Annotated[bool, _Flag] = False,
    advise: Annotated[bool, _Flag] = False,
    weight: Annotated[str | None, _Numbers] = None,
    at: Annotated[str | None, _Numbers] = None,
) -> int:
    """Predict the gradient of every layer before any training.

    One line a layer: the gradient norm of its weights, its signal, its dead units. `--measure` draws real
    networks beside the prediction, `--map` shows the phase diagram instead, `--chain` the textbooks' product,
    `--advise` the initialisation to take and what else would bring the depth in reach.

    Examples:

        evenflow predict --activation gelu --initialisation he

        evenflow predict --activation tanh --measure 20 --plot flow.html

        evenflow predict --activation relu,sigmoid --depth 50 --normalisation batch

        evenflow predict --map --activation tanh --initialisation he

        evenflow predict --chain --activation sigmoid --weight 0.1 --depth 5

        evenflow predict --advise --activation sigmoid --depth 50

    Parameters
    ----------
    depth
        Hidden layers. Default: 20, or as many as --width lists.
    width
        Units of a hidden layer, or a list such as 128,64,32. Default: 128.
    activation
        A name from 'evenflow activations', or a list that alternates, such as relu,sigmoid. Default: relu.
    initialisation
        torch, xavier, he, lecun, orthogonal, gain, normal:STD or constant:C. Default: torch.
    bias_initialisation
        auto, torch, zero, normal:STD or constant:C. Default: auto.
    normalisation
        none, batch, layer or rms. Default: none.
    normalisation_position
        before or after the activation. Default: before.
    residual
        none, pre or post. Default: none.
    residual_scale
        Factor on the branch beside a skip. Default: 1.
    network
        Begin with [network] and [data] of this study file; options given beside it replace them.
    data
        Name of a data set. Default: digits.
    batch
        Samples in the batch. Default: 64.
    loss
        Loss at the output. Default: cross_entropy.
    measure
        Also draw so many random networks and measure each on one batch.
    every_layer
        Show every layer of a long network.
    plot
        Draw the picture into this file, .html, .png or .svg (the last two need Chrome or Chromium).
    phase_map
        Show the phase diagram of the activation, as phase-map.html unless --plot names another file.
    weight_variance
        With --map: σ_w², variance of a weight times fan-in, in place of --initialisation.
    bias_variance
        With --map: σ_b², variance of a bias, in place of --bias-initialisation.
    chain
        Show the textbooks' chain of single units: the product of slope × weight.
    advise
        Show the recommended initialisation, and changes of the network ranked by how flat its gradient is.
    weight
        With --chain: the weight of every layer, or a list that repeats. Default: 1.
    at
        With --chain: the pre-activation of every layer, or a list that repeats. Default: where the slope is largest.
    """
    options = dict(locals())
    given = {name: value for name, value in options.items() if value is not None and value is not False}
    given = {name: value for name, value in given.items() if name not in ("phase_map", "chain", "advise")}
    _check(given, [name for name, on in (("map", phase_map), ("chain", chain), ("advise", advise)) if on])
    if plot is not None:
        from evenflow.report.export import check_ending

        check_ending(plot)
    if chain:
        from evenflow.cli.predict_theory import show_chain

        return show_chain(_network(given), weight or "1", at)
    if phase_map:
        from evenflow.cli.predict_theory import show_map

        return show_map(_network(given), weight_variance, bias_variance, plot)
    chosen, read = _network_and_data(given)
    if advise:
        from evenflow.cli.predict_theory import show_advice

        return show_advice(chosen, read, given.get("loss"), given.get("batch", 64))
    return _show(chosen, read, given)


def _check(given: dict[str, Any], modes: list[str]) -> None:
    """Raise SpecError for options that contradict each other."""
    from evenflow.errors import SpecError

    if len(modes) > 1:
        raise SpecError(f"--{modes[0]} and --{modes[1]} are two different answers; give one of them")
    mode = modes[0] if modes else ""
    for name in given:
        option = "--all" if name == "every_layer" else f"--{name.replace('_', '-')}"
        owner = _OWNERS.get(name, mode)
        if owner != mode:
            raise SpecError(f"{option} belongs to --{owner}; add --{owner}, or leave {option} out")
        if mode and not _goes_with(mode, name):
            raise SpecError(f"{option} does not go with --{mode}; leave one of them out")
    if given.get("measure", 1) < 1:
        raise SpecError(f"--measure {given['measure']}: at least 1 network is needed")
    if given.get("batch", 1) < 1:
        raise SpecError(f"--batch {given['batch']}: a batch has at least 1 sample")


def _goes_with(mode: str, name: str) -> bool:
    if mode == "advise":
        return name not in _ADVICE_NOT
    return name in (_PLANE if mode == "map" else _CHAIN)


def _network(given: dict[str, Any], base: Network | None = None) -> Network:
    """The network of the options, on top of another."""
    import msgspec

    from evenflow.cli.lists import whole_numbers, words
    from evenflow.spec.network import Network

    fields = {name: given[name] for name in Network.__struct_fields__ if name in given}
    if "width" in fields:
        widths = whole_numbers(fields["width"], "--width", "128,64,32")
        fields["width"] = widths[0] if len(widths) == 1 else widths
    if "activation" in fields:
        names = words(fields["activation"])
        fields["activation"] = names[0] if len(names) == 1 else names
    return msgspec.structs.replace(base or Network(), **fields)


def _network_and_data(given: dict[str, Any]) -> tuple[Network, Data]:
    from evenflow.spec.data import Data

    if "network" not in given:
        return _network(given), Data(name=given.get("data", "digits"))
    from evenflow.cli.finish import say
    from evenflow.spec.files import read_study
    from evenflow.study.question import predictable

    study = read_study(given["network"])
    network = predictable(study.network)
    if study.grid:
        say(f"{given['network']} has a grid; this predicts its [network] alone")
    data = Data(name=given["data"]) if "data" in given else study.data
    return _network(given, network), data


def _show(network: Network, data: Data, given: dict[str, Any]) -> int:
    from rich.console import Console

    from evenflow.cli.progress import drawing
    from evenflow.report.export import write_figure
    from evenflow.report.forecast import distance, float32_sentence, layers_of, summary
    from evenflow.report.forecast_terminal import forecast_table, network_title, phase_sentence
    from evenflow.report.prediction_figures import prediction_figure
    from evenflow.study.forecast import draw
    from evenflow.study.forecast import predict as forecast

    settings = {name: given[name] for name in ("batch",) if name in given}
    loss = given.get("loss", "cross_entropy")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they are told under the table
        predicted = forecast(network, data, loss, **settings)
    drawn = None
    if "measure" in given:
        with drawing(given["measure"]) as progress:
            drawn = draw(network, data, loss, seeds=given["measure"], progress=progress, **settings)
    layers = layers_of(predicted, drawn)
    written = None
    if "plot" in given:
        written = write_figure(prediction_figure(predicted, drawn), given["plot"])
    console = Console(highlight=False, markup=False)
    console.print(forecast_table(layers, network_title(network, data), every="every_layer" in given))
    told = [f"warning: {text}" for run in predicted.runs for text in _warnings(run.facts.get("warnings"))]
    lost = float32_sentence(predicted, network.layers)
    for line in (summary(layers), phase_sentence(network), lost, distance(layers), *told):
        if line:
            console.print(line)
    if written is not None:
        console.print(f"figure: {written}", soft_wrap=True)
    elif drawn is not None:
        console.print("For the picture add --plot flow.html (or .png, .svg).")
    return 0


def _warnings(found: object) -> list[str]:
    return [str(text) for text in found] if isinstance(found, list | tuple) else []
