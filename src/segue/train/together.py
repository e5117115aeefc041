"""The layers of a training: quick ones, and ones that look at the whole batch where each process sees a share of it."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segue.model.unet import memory_format
from segue.train.fusing import PLAIN, Kernels, fuse
from segue.train.world import World


def give_training_layers(network: nn.Module, world: World, *, batch: int, kernels: Kernels | None = None) -> None:
    """Give a network the layers it is trained with, which are quicker or look at all of the `batch` samples.

    Parameters and the names in the state stay the same. Without `kernels` a process alone keeps its layers.
    """
    if kernels or world.size > 1:
        fuse(network, kernels or PLAIN, world.sum)
    if world.size > 1:
        for parent in list(network.modules()):
            for name, child in list(parent.named_children()):
                if isinstance(child, nn.Dropout):
                    parent.register_module(name, SharedDropout(child.p, batch=batch, samples=world.share_of(batch)))


class SharedDropout(nn.Module):
    """Dropout that drops what `nn.Dropout` would drop in the same samples of the whole batch.

    All processes draw for the whole batch from the same seed and keep their own samples: dropout is at the bottom of
    the network, where a batch is small.
    """

    def __init__(self, share: float, *, batch: int, samples: range) -> None:
        super().__init__()
        self._share = share
        self._batch = batch
        self._samples = slice(samples.start, None, samples.step)

    def forward(self, x: Tensor) -> Tensor:
        """(b, C, ...), the share of this process, to the same shape."""
        if not self.training or self._share == 0:
            return x
        whole = torch.ones((self._batch, *x.shape[1:]), dtype=x.dtype, device=x.device)
        # Numbers are drawn in the order of the memory. A batch lies channels last; a share of one sample may not.
        whole = whole.contiguous(memory_format=memory_format(x.ndim - 2))
        return x * F.dropout(whole, self._share)[self._samples]
