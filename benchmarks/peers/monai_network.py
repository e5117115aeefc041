"""MONAI's BasicUNet: as it comes (features 32, 32, 64, 128, 256, 32), or with the widths of the others."""

import torch
from monai.inferers import sliding_window_inference
from monai.losses import DiceCELoss
from monai.networks.nets import BasicUNet
from plain_network import batch_of
from protocol import main

WINDOW = 512


def network_of(spec: dict) -> BasicUNet:
    torch.manual_seed(0)
    if spec["own"]:
        return BasicUNet(spatial_dims=2, in_channels=1, out_channels=2)
    width = spec["width"]
    features = (*(width * 2**level for level in range(5)), width)
    return BasicUNet(spatial_dims=2, in_channels=1, out_channels=2, features=features)


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
    image = torch.randn(1, 1, spec["side"], spec["side"])

    def work():
        with torch.inference_mode():
            window = (min(WINDOW, spec["side"]),) * 2
            logits = sliding_window_inference(image, window, sw_batch_size=1, predictor=network, mode="gaussian")
            return logits.softmax(dim=1)

    return work


if __name__ == "__main__":
    main(step=step, predict=predict)
