import pytest
import torch

from segue.model.device import best_device


def test_without_a_graphics_card_it_is_the_processor(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert best_device() == best_device(3) == torch.device("cpu")


@pytest.mark.parametrize(("place", "card"), [(0, 0), (1, 1), (3, 1)])
def test_every_process_of_a_machine_has_the_graphics_card_of_its_place(place, card, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert best_device(place) == torch.device("cuda", card)
