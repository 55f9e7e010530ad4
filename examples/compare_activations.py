"""Does the gradient reach the first layer? Three activations, ten layers, two seeds: about 5 seconds."""

import numpy as np

import evenflow as ef


def main() -> None:
    """Run the study (or read it, the second time) and print the gradient of the first layer over that of the last."""
    study = ef.Study(
        name="compare",
        network=ef.Network(depth=10, width=64),
        data=ef.Data(name="digits"),
        training=ef.Training(steps=100),
        grid={"activation": ("sigmoid", "relu", "gelu"), "initialisation": ("torch", "gain")},
        seeds=2,
    )
    ef.run_study(study, "runs/compare/study.sqlite")
    with ef.Store.open("runs/compare/study.sqlite") as store:
        table = store.table()

    for cell in ef.summarise(table, grid=list(study.grid)).cells:
        ratio, accuracy = cell.figures["log_ratio_start"].mean, cell.figures["test_accuracy"].mean
        print(f"{cell.settings!s:55} first/last 10^{ratio:6.2f}   test accuracy {accuracy:.2f}")

    start = table.select(step=0, kind="weight", activation="sigmoid", initialisation="torch", seed=0)
    print("sigmoid, log10 of the gradient norm, layer by layer:", np.log10(start["grad_norm"]).round(1))


if __name__ == "__main__":
    main()
