"""Train StarDist for a given time in its default configuration and predict: SCRIPT TASK ANSWER.

The default is 400 epochs of 100 steps, with a learning rate that halves after 40 epochs without progress. Fitted to the
time: 40 epochs of so many steps as fit, patience 4. Of the training images 15 %, as in its examples, but at most
32, choose the best weights and the two thresholds. Augmentation is that of its documentation: flips, quarter
turns, changes of brightness and contrast. Optimising the thresholds does not count as training time.
"""

import random
import tempfile
import time
from pathlib import Path

import numpy as np
from protocol import answer, task

EPOCHS, PATIENCE = 40, 4
FEWEST_STEPS = 100
"""With fewer steps the network draws specks whose thresholds take many minutes to optimise; the usual ones are kept."""
LIMIT = 32
"""Validation images at most."""


def read(folder: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    from csbdeep.utils import normalize

    found = {}
    for file in sorted(Path(folder).glob("*.npz")):
        arrays = np.load(file)
        found[file.stem] = (normalize(arrays["image"], 1, 99.8), arrays["labels"].astype(np.int32))
    return found


def augment(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    turns = np.random.randint(4)
    x, y = np.rot90(x, turns), np.rot90(y, turns)
    for axis in (0, 1):
        if np.random.rand() < 0.5:
            x, y = np.flip(x, axis), np.flip(y, axis)
    return x * np.random.uniform(0.6, 2) + np.random.uniform(-0.2, 0.2), y


def main() -> None:
    import keras
    from stardist import fill_label_holes
    from stardist.models import Config2D, StarDist2D

    wanted = task()
    random.seed(wanted["seed"])
    np.random.seed(wanted["seed"])
    keras.utils.set_random_seed(wanted["seed"])
    started = time.monotonic()
    pairs = [(x, fill_label_holes(y)) for x, y in read(wanted["train"]).values()]
    order = np.random.default_rng(wanted["seed"]).permutation(len(pairs))
    held = max(1, min(LIMIT, round(0.15 * len(pairs))))
    judges = [pairs[place] for place in order[:held]]
    learn = [pairs[place] for place in order[held:]]

    class EndInTime(keras.callbacks.Callback):
        def __init__(self, seconds: float) -> None:
            super().__init__()
            self.end, self.steps, self.moments = time.monotonic() + seconds, 0, [time.monotonic()]

        def on_train_batch_end(self, batch, logs=None) -> None:
            self.steps += 1
            self.moments.append(time.monotonic())
            if time.monotonic() > self.end:
                self.model.stop_training = True

    def fit(seconds: float, *, epochs: int, steps: int, judges) -> tuple[StarDist2D, EndInTime]:
        config = Config2D(n_channel_in=1, train_tensorboard=False, train_epochs=epochs, train_steps_per_epoch=steps)
        config.train_reduce_lr |= {"patience": PATIENCE}
        model = StarDist2D(config, name="model", basedir=folder)
        model.prepare_for_training()
        clock = EndInTime(seconds)
        model.callbacks.append(clock)
        x, y = zip(*learn, strict=True)
        model.train(x, y, validation_data=tuple(map(list, zip(*judges, strict=True))), augmenter=augment)
        return model, clock

    with tempfile.TemporaryDirectory() as folder:
        _, clock = fit(wanted["seconds"] / 10, epochs=1, steps=8, judges=judges[:1])
        step = (
            float(np.median(np.diff(clock.moments[1:])))
            if len(clock.moments) > 2
            else clock.moments[-1] - clock.moments[0]
        )
        before = time.monotonic()
        preparing = before - started
        steps = max(1, int(wanted["seconds"] / EPOCHS / step * 0.9))
        # Judging a patch costs about a third of learning from it: no more of them than take a twentieth of the time.
        looked_at = int(min(held, max(4, 0.05 * wanted["seconds"] / EPOCHS * 3 * 4 / step)))
        model, clock = fit(wanted["seconds"], epochs=EPOCHS, steps=steps, judges=judges[:looked_at])
        seconds = time.monotonic() - before
        if clock.steps >= FEWEST_STEPS:
            model.optimize_thresholds(*map(list, zip(*judges, strict=True)))
        tuning = time.monotonic() - before - seconds
        out = Path(wanted["out"])
        out.mkdir(parents=True, exist_ok=True)
        test = read(wanted["test"])
        model.predict_instances(next(iter(test.values()))[0])  # the first one loads code
        spent = 0.0
        for name, (x, _) in test.items():
            moment = time.monotonic()
            labels = model.predict_instances(x)[0]
            spent += time.monotonic() - moment
            np.save(out / f"{name}.npy", labels.astype(np.int32))
    answer(
        {
            "steps": clock.steps,
            "seconds": seconds,
            "seconds_preparing": preparing,
            "seconds_tuning": tuning,
            "seconds_an_image": spent / len(test),
            "epochs_of_steps": [EPOCHS, steps],
        }
    )


if __name__ == "__main__":
    main()
