"""Other tools that watch a training, each attached as its own documentation says, at every step.

They are no dependencies of Evenflow: each is imported when it is attached.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from tempfile import TemporaryDirectory

from torch import Tensor

from .contenders import Contender, Detach
from .workloads import Training


def wandb_watch(training: Training) -> Detach:
    """Histograms by hooks on gradients; the files are written by another process, whose time does not count."""
    wandb = import_module("wandb")
    folder = TemporaryDirectory()
    run = wandb.init(
        mode="offline",
        dir=folder.name,
        project="overhead",
        settings=wandb.Settings(silent=True, console="off"),
    )
    run.watch(training.model, log="all", log_freq=1)
    training.after_step = lambda loss: run.log({"loss": loss.item()})

    def detach() -> None:
        run.unwatch(training.model)
        run.finish()
        folder.cleanup()

    return detach


def tensorboard(training: Training) -> Detach:
    """Histograms of every parameter and gradient; a thread of this process writes them."""
    folder = TemporaryDirectory()
    writer = import_module("torch.utils.tensorboard").SummaryWriter(folder.name)

    def after_step(_loss: Tensor) -> None:
        for name, parameter in training.model.named_parameters():
            writer.add_histogram(name, parameter, training.steps)
            if parameter.grad is not None:
                writer.add_histogram(f"{name}.grad", parameter.grad, training.steps)

    training.after_step = after_step
    return _closing(writer.close, folder)


def traintools(training: Training) -> Detach:
    """Its check of gradients, between backward pass and update."""
    monitor = import_module("traintools").GradientHealthMonitor(max_grad_norm=1.0)
    rate = training.optimiser.param_groups[0]["lr"]
    training.after_backward = lambda _loss: monitor.inspect(training.model, step=training.steps, lr=rate)
    return lambda: None


def module_monitor(training: Training) -> Detach:
    """Its three first metrics; the numbers are read at the end of a step, as for a log."""
    monitor = import_module("torch_module_monitor").ModuleMonitor(monitor_step_fn=lambda _step: True)
    monitor.set_module(training.model)
    monitor.add_activation_metric("mean", lambda values: values.mean())
    monitor.add_parameter_metric("norm", lambda values: values.norm())
    monitor.add_gradient_metric("norm", lambda values: values.norm())

    def forward(inputs: Tensor) -> Tensor:
        monitor.begin_step(training.steps)
        return training.model(inputs)

    def after_backward(_loss: Tensor) -> None:
        monitor.monitor_parameters()
        monitor.monitor_gradients()

    def after_step(_loss: Tensor) -> None:
        monitor.end_step()
        monitor.get_step_metrics()

    training.forward, training.after_backward, training.after_step = forward, after_backward, after_step
    return lambda: None


def monitorch(training: Training) -> Detach:
    """Three of its lenses; they gather at every step and draw at the end of an epoch, which is left out."""
    lens = import_module("monitorch.lens")
    inspector = import_module("monitorch.inspector").PyTorchInspector(
        lenses=[lens.OutputActivation(), lens.OutputNorm(), lens.ParameterGradientGeometry()],
        module=training.model,
        visualizer="print",
    )
    return inspector.detach


def delve(training: Training) -> Detach:
    """Covariance of the outputs; the saturation made of it at the end of an epoch is left out."""
    folder = TemporaryDirectory()
    tracker = import_module("delve").SaturationTracker(
        folder.name, save_to="csv", modules=training.model, device="cpu"
    )
    return _closing(tracker.close, folder)


def lightning(training: Training) -> Detach:
    """What its documentation calls in `on_before_optimizer_step`, and the numbers out of it, as its log does."""
    grad_norm = import_module("lightning.pytorch.utilities").grad_norm
    log: dict[str, float] = {}

    def after_backward(_loss: Tensor) -> None:
        log.update({name: norm.item() for name, norm in grad_norm(training.model, norm_type=2).items()})

    training.after_backward = after_backward
    return log.clear


def _closing(close: Callable[[], object], folder: TemporaryDirectory[str]) -> Detach:
    def detach() -> None:
        close()
        folder.cleanup()

    return detach


PEERS = (
    Contender("wandb.watch", "histograms of parameters and gradients", wandb_watch),
    Contender("TensorBoard", "histograms of parameters and gradients", tensorboard),
    Contender("traintools", "norms of gradients, update ratio, non-finite", traintools),
    Contender("torch-module-monitor", "mean of outputs; norms of parameters, gradients", module_monitor),
    Contender("monitorch", "zero share and norm of outputs; norms of gradients", monitorch),
    Contender("delve", "covariance of outputs", delve),
    Contender("lightning grad_norm", "norms of gradients", lightning),
)
