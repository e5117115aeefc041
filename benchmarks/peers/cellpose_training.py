"""Train Cellpose 3 from nothing for a given time and predict: SCRIPT TASK ANSWER.

Its own network, loss, augmentation and optimiser, with its defaults. The schedule (10 epochs of rising, the last 50 of
falling learning rate) is fitted to the time: 200 epochs of so many batches of 8 as fit. Making its flows is not counted
as training time. Predicted with the mean diameter of the training objects, as its documentation has it.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from protocol import answer, task

EPOCHS, BATCH = 200, 8
CHANNELS = [0, 0]
"""Gray images."""
DIAMETER = 17.0
"""What its documentation gives for nuclei: images are scaled so that their mean diameter is this many pixels."""


def main() -> None:
    from cellpose import dynamics, models, train

    wanted = task()
    np.random.seed(wanted["seed"])
    torch.manual_seed(wanted["seed"])
    started = time.monotonic()
    arrays = [np.load(file) for file in sorted(Path(wanted["train"]).glob("*.npz"))]
    images = [one["image"] for one in arrays]
    masks = [one["labels"].astype(np.int32) for one in arrays]
    labels = dynamics.labels_to_flows(masks, device=torch.device("cpu"))
    with tempfile.TemporaryDirectory() as folder:

        def fit(network, *, epochs: int, batches: int) -> float:
            begun = time.monotonic()
            train.train_seg(
                network,
                train_data=images,
                train_labels=labels,
                channels=CHANNELS,
                batch_size=BATCH,
                n_epochs=epochs,
                nimg_per_epoch=BATCH * batches,
                save_path=folder,
                save_every=10**6,
            )
            return time.monotonic() - begun

        once = fit(models.CellposeModel(gpu=False, diam_mean=DIAMETER).net, epochs=1, batches=1)
        more = fit(models.CellposeModel(gpu=False, diam_mean=DIAMETER).net, epochs=1, batches=5)
        step, overhead = max((more - once) / 4, 1e-3), max(0.0, once - (more - once) / 4)
        preparing = time.monotonic() - started
        # As many epochs as have a batch each, if there is no time for 200.
        epochs = int(min(EPOCHS, max(1, wanted["seconds"] / step)))
        batches = max(1, round(wanted["seconds"] / step / epochs))
        model = models.CellposeModel(gpu=False, diam_mean=DIAMETER)
        seconds = fit(model.net, epochs=epochs, batches=batches) - overhead
    out = Path(wanted["out"])
    out.mkdir(parents=True, exist_ok=True)
    diameter = float(model.net.diam_labels.item())
    test = {file.stem: np.load(file)["image"] for file in sorted(Path(wanted["test"]).glob("*.npz"))}
    model.eval(next(iter(test.values())), channels=CHANNELS, diameter=diameter)  # the first one loads code
    spent = 0.0
    for name, image in test.items():
        moment = time.monotonic()
        masks = model.eval(image, channels=CHANNELS, diameter=diameter)[0]
        spent += time.monotonic() - moment
        np.save(out / f"{name}.npy", masks.astype(np.int32))
    answer(
        {
            "steps": epochs * batches,
            "seconds": seconds,
            "seconds_preparing": preparing,
            "seconds_an_image": spent / len(test),
            "epochs_of_steps": [epochs, batches],
        }
    )


if __name__ == "__main__":
    main()
