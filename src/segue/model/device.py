"""Where networks run: the one place that decides it."""

import torch


def best_device(place: int = 0) -> torch.device:
    """The graphics card for the process at that `place` on this machine; the processor where there is none."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", place % torch.cuda.device_count())
