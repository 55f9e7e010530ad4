"""An activation of your own: register it with one call, then measure it and train with it."""

import numpy as np

import evenflow as ef


def main() -> None:
    """Register the bent identity, print what was measured of it, and train it beside ReLU."""
    bent = ef.register_activation("bent", lambda z: (np.sqrt(z * z + 1) - 1) / 2 + z, title="Bent identity")
    print("f(1), f'(1) =", bent(1.0), bent.derivative(1.0))  # the slope comes from exact differentiation
    measured = ef.properties(bent)
    print(f"slopes up to {measured.max_slope:.3f}; gain {measured.gain:.4f}; monotone: {measured.monotone}")

    study = ef.Study(
        name="bent",
        network=ef.Network(depth=5, width=32, initialisation="gain"),
        data=ef.Data(name="spirals"),
        training=ef.Training(steps=100),
        grid={"activation": ("relu", "bent")},
        seeds=2,
    )
    ef.run_study(study, "runs/bent/study.sqlite", jobs=1)
    with ef.Store.open("runs/bent/study.sqlite") as store:
        for run in store.runs():
            print(run.fields["activation"], run.seed, run.status)


if __name__ == "__main__":
    main()
