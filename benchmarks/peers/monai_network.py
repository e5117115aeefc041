"""MONAI's BasicUNet: as it comes (features 32, 32, 64, 128, 256, 32), or with the widths of the others."""

import torch
from monai.inferers import sliding_window_inference
from monai.losses import DiceCELoss
from monai.networks.nets import BasicUNet
from plain_network import axes_of, batch_of
from protocol import main

WINDOWS = {2: 512, 3: 96}


def network_of(spec: dict) -> BasicUNet:
    torch.manual_seed(0)
    axes = axes_of(spec)
    if spec["own"]:
        return BasicUNet(spatial_dims=axes, in_channels=1, out_channels=2)
    width = spec["width"]
    features = (*(width * 2**level for level in range(5)), width)  # always four poolings
    return BasicUNet(spatial_dims=axes, in_channels=1, out_channels=2, features=features)


def step(spec: dict):
    """A step as in MONAI's tutorials: Dice and cross-entropy, Adam."""
    network = network_of(spec)
    loss_of = DiceCELoss(to_onehot_y=True, softmax=True)
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    image, target = batch_of(spec)
    target = target.unsqueeze(1)

    def work() -> None:
        optimizer.zero_grad()
        loss_of(network(image), target).backward()
        optimizer.step()

    return work


def predict(spec: dict):
    """MONAI's sliding window with its default overlap of a quarter, Gaussian weights."""
    network = network_of(spec).eval()
    axes = axes_of(spec)
    image = torch.randn(1, 1, *(spec["side"],) * axes)

    def work():
        with torch.inference_mode():
            window = (min(WINDOWS[axes], spec["side"]),) * axes
            logits = sliding_window_inference(image, window, sw_batch_size=1, predictor=network, mode="gaussian")
            return logits.softmax(dim=1)

    return work


if __name__ == "__main__":
    main(step=step, predict=predict)
