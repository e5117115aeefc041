"""Where networks run: the one place that decides it."""

import torch


def best_device(place: int = 0) -> torch.device:
    """The graphics card for the process at that `place` on this machine; the processor where there is none.

    A process may see but its own card, whatever its place.
    """
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", place % torch.cuda.device_count())


def device_name(device: torch.device) -> str:
    """What people call it: the name of a graphics card, or "processor" and what it can at most, such as AVX512."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"processor ({torch.backends.cpu.get_cpu_capability()})"
