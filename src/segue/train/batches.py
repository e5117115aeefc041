"""Examples to batches: which image, which place, which augmentation, all drawn from (seed, step, sample) alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from segue.augment.compose import AugmentConfig, draw, rng_for
from segue.augment.sampling import Patch, sample_patch
from segue.errors import DataError
from segue.train.examples import Example
from segue.train.settings import BatchConfig


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What one step learns from; B patches. The target may be smaller than the image ("valid" networks)."""

    image: Tensor
    """(B, C, ...) float32, normalised."""
    target: Tensor
    """(B, ...) int64 class ids, `IGNORE` where unknown."""
    weights: Tensor
    """(B, ...) float32 w(x), 0 where unknown."""
    maps: Tensor | None
    """(B, A, ...) float32 auxiliary maps in [0, 1], if the network learns any."""
    dtype: torch.dtype
    """Type of the convolutions."""

    def pinned(self) -> "Batch":
        """The same batch where a graphics card can fetch it while the processor goes on."""
        return self._with_each(Tensor.pin_memory)

    def to(self, device: torch.device) -> "Batch":
        """The same batch in the memory of `device`."""
        return self if device.type == "cpu" else self._with_each(lambda tensor: tensor.to(device, non_blocking=True))

    def _with_each(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        return replace(
            self,
            image=change(self.image),
            target=change(self.target),
            weights=change(self.weights),
            maps=change(self.maps) if self.maps is not None else None,
        )


class Batches(Protocol):
    """What the training loop asks for data."""

    def batch(self, step: int) -> Batch:
        """The batch of `step`, always the same one."""
        ...


class PatchBatches:
    """The batches of a training. `batch(step)` is a pure function of the seed and the step."""

    def __init__(
        self,
        examples: Sequence[Example],
        config: BatchConfig,
        *,
        augment: AugmentConfig,
        seed: int,
        margin: tuple[int, ...],
        dtype: torch.dtype,
        samples: range | None = None,
    ) -> None:
        """`margin` is what a "valid" network's output lacks at each end. Raises DataError without examples.

        `samples` says which of each batch to make, where several processes share it; None for all.
        """
        if not examples:
            raise DataError("there is no image to train on; add annotated images")
        self._examples = examples
        self._config = config
        self._augment = augment
        self._seed = seed
        self._margin = margin
        self._dtype = dtype
        self._samples = samples or range(config.batch)
        # Large images hold more to learn than small ones, but not in proportion: neighbouring places are alike.
        sizes = np.sqrt([float(example.sources.labels.size) for example in examples])
        self._shares = sizes / sizes.sum()

    def batch(self, step: int) -> Batch:
        """The batch of `step`."""
        patches = [self._patch(step, sample) for sample in self._samples]
        zipped = zip(self._margin, self._config.patch, strict=True)
        answered: Any = (..., *(slice(margin, size - margin) for margin, size in zipped))
        maps = None
        if patches[0].linear:
            maps = torch.from_numpy(np.stack([np.stack(patch.linear) for patch in patches])[answered])
        return Batch(
            image=torch.from_numpy(np.stack([patch.image for patch in patches])),
            target=torch.from_numpy(np.stack([patch.labels for patch in patches])[answered].astype(np.int64)),
            weights=torch.from_numpy(np.stack([patch.nearest[0] for patch in patches])[answered]),
            maps=maps.contiguous() if maps is not None else None,
            dtype=self._dtype,
        )

    def _patch(self, step: int, sample: int) -> Patch:
        rng = rng_for(self._seed, step=step, sample=sample)
        example = self._examples[int(rng.choice(len(self._examples), p=self._shares))]
        corner = self._corner(example, rng)
        axes = len(self._config.patch)
        channels = example.sources.image.shape[0]
        parameters = draw(rng, self._augment, spatial_axes=axes, channels=channels, spacing=example.spacing)
        return sample_patch(example.sources, corner=corner, patch_shape=self._config.patch, parameters=parameters)

    def _corner(self, example: Example, rng: np.random.Generator) -> tuple[int, ...]:
        places = example.known
        if example.places and rng.random() < self._config.foreground:
            places = example.places[int(rng.integers(len(example.places)))]
        if places is not None and len(places):
            place = places[int(rng.integers(len(places)))]
            # Somewhere in the part of the patch that the network answers for.
            offsets = [
                margin + int(rng.integers(size - 2 * margin))
                for margin, size in zip(self._margin, self._config.patch, strict=True)
            ]
            wanted = [int(p) - offset for p, offset in zip(place, offsets, strict=True)]
        else:
            wanted = None
        corner = []
        shape = example.sources.labels.shape
        for axis, (length, size, margin) in enumerate(zip(shape, self._config.patch, self._margin, strict=True)):
            # The network answers for corner + margin onwards: that part should lie on the image where it fits.
            low, high = sorted((-margin, length - size + margin))
            corner.append(int(rng.integers(low, high + 1)) if wanted is None else min(max(wanted[axis], low), high))
        return tuple(corner)
