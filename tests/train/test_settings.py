import pytest

from segue.errors import UsageError
from segue.train.settings import BatchConfig, TrainConfig


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch": 0}, r"at least 1 patch of at least 1 px, not 0 of \(256, 256\)"),
        ({"patch": (16, 0)}, r"not 4 of \(16, 0\)"),
        ({"patch": ()}, r"not 4 of \(\)"),
        ({"foreground": 1.5}, "share from 0 to 1, not 1.5"),
        ({"foreground": -0.1}, "share from 0 to 1, not -0.1"),
    ],
)
def test_batches_that_cannot_be_made_are_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        BatchConfig(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"seed": -1}, "whole number from 0 to 4294967295, not -1"),
        ({"seed": 2**32}, "not 4294967296"),
        ({"optimizer": "adam"}, 'one of muon, adamw, sgd, not "adam"'),
        ({"learning_rate": 0.0}, "learning_rate and largest_gradient are above 0"),
        ({"weight_decay": -0.1}, "weight_decay 0 or more"),
        ({"largest_gradient": 0.0}, "largest_gradient are above 0"),
        ({"warmup": 1.0}, "warmup is a share from 0 to below 1"),
        ({"average_share": 0.0}, "average_share from above 0 to 1"),
        ({"validations": 0}, "validations is at least 1"),
        ({"save_every": 0.0}, "save_every above 0 seconds"),
    ],
)
def test_trainings_that_cannot_work_are_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        TrainConfig(**settings)
