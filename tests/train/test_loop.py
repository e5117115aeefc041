import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from segue.errors import TrainingError, UsageError
from segue.loss import LossConfig
from segue.model.unet import UNet, initialize, isotropic_config, network_from
from segue.predict.infer import PredictConfig, predict
from segue.train.batches import Batch
from segue.train.loop import Observer, _optimizer, _repeatable, train
from segue.train.schedule import StepPace, TimePace
from segue.train.settings import TrainConfig
from segue.train.state import Record, load_state, save_state

CONFIG = isotropic_config(
    spatial_axes=2, depth=1, width=4, outputs=2, padding="same", normalization="batch", dropout=0.2
)


class Disc:
    """The same noisy disc at every step, or another image at one step."""

    def __init__(self, *, wild_at=None):
        y, x = np.mgrid[:32, :32]
        self.truth = ((y - 14) ** 2 + (x - 18) ** 2 < 81).astype(np.int64)
        noise = np.random.default_rng(0).normal(0, 0.5, (32, 32))
        self.pixels = (2 * self.truth - 1 + noise).astype(np.float32)[None]
        self._wild_at = wild_at

    def batch(self, step):
        image = torch.from_numpy(self.pixels).unsqueeze(0)
        return Batch(
            image=torch.full_like(image, float("inf")) if step == self._wild_at else image,
            target=torch.from_numpy(self.truth).unsqueeze(0),
            weights=torch.ones(1, 32, 32),
            maps=None,
            dtype=torch.float32,
        )


def fresh(seed=0):
    network = UNet(CONFIG)
    initialize(network, generator=torch.Generator().manual_seed(seed))
    return network


def run(steps=6, *, network=None, batches=None, validate=lambda network: {}, config=None, **more):
    return train(
        network or fresh(),
        batches or Disc(),
        pace=StepPace(steps),
        config=config or TrainConfig(),
        loss=LossConfig(),
        validate=validate,
        **more,
    )


def losses_of(seed):
    losses = []
    run(config=TrainConfig(seed=seed), observer=Observer(on_step=lambda record, left: losses.append(record["loss"])))
    return losses


def copied(weights):
    return {name: tensor.clone() for name, tensor in weights.items()}


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_a_tiny_network_learns_one_image_by_heart():
    data = Disc()
    state, complete = run(80, batches=data, config=TrainConfig(learning_rate=1e-2))
    answer = predict(
        network_from(state.network.config, state.average),
        data.pixels,
        classes=2,
        config=PredictConfig(precision="fp32"),
    )
    found = answer[1] > 0.5
    dice = 2 * (found & (data.truth == 1)).sum() / (found.sum() + data.truth.sum())
    assert complete
    assert dice > 0.95


def test_the_losses_are_those_of_the_seed_to_the_bit():
    first = losses_of(3)
    assert first == losses_of(3)
    assert first[0] != losses_of(4)[0]  # another seed drops other features


def test_every_step_has_its_record():
    records = []
    config = TrainConfig(learning_rate=0.5, warmup=0.5)
    run(4, config=config, observer=Observer(on_step=lambda record, left: records.append((record, left))))
    assert [record["step"] for record, _ in records] == [1, 2, 3, 4]
    assert [record["progress"] for record, _ in records] == [0, 0.25, 0.5, 0.75]
    # rising to its highest at half of the training, then half a cosine down
    assert [record["rate"] for record, _ in records] == pytest.approx([0, 0.25, 0.5, 0.25])
    assert {left for _, left in records} == {None}


def test_at_a_rate_of_0_no_weight_moves():
    network = fresh()
    before = copied(dict(network.named_parameters()))
    run(1, network=network)  # the first step of a warm-up
    assert same(before, dict(network.named_parameters()))


def test_a_loss_that_is_not_finite_stops_the_training_and_leaves_the_last_state(tmp_path):
    path = tmp_path / "state.safetensors"
    config = TrainConfig(save_every=1e-9)
    with pytest.raises(
        TrainingError, match=r"the loss became nan at step 3; lower the learning rate \(now .*segue check"
    ):
        run(6, batches=Disc(wild_at=3), state_path=path, config=config)
    state, _ = run(3)
    assert load_state(state, path, identity={})
    assert state.step == 3
    assert all(torch.isfinite(tensor).all() for tensor in state.network.state_dict().values())


def test_a_gradient_that_is_not_finite_reaches_no_weight(monkeypatch):
    network = fresh()
    monkeypatch.setattr(torch.nn.utils, "get_total_norm", lambda gradients, **more: torch.tensor(float("inf")))
    before = copied(dict(network.named_parameters()))
    with pytest.raises(TrainingError, match="the gradient became inf at step 0"):
        run(1, network=network, config=TrainConfig(warmup=0.0))
    assert same(before, dict(network.named_parameters()))


def test_the_best_weights_are_those_of_the_best_validation():
    scores = iter([0.3, 0.9, 0.5, float("nan"), 0.9 - 1e-9, 0.2])
    seen = []

    def validate(network):
        seen.append(copied(network.state_dict()))
        return {"score": next(scores)}

    state, _ = run(6, validate=validate, config=TrainConfig(validations=6, learning_rate=0.01))
    assert len(seen) == 6
    assert state.best_score == 0.9
    # A validation that says nothing (NaN) is no reason to prefer other weights.
    assert same(state.best, seen[1])
    assert not same(state.best, seen[-1])


def test_without_scores_the_newest_average_is_the_best():
    state, _ = run(5)
    assert same(state.best, state.average)
    assert state.best_score == -np.inf


def test_validations_are_evenly_spaced_and_the_last_one_is_at_the_end():
    told: list[Record] = []
    config = TrainConfig(validations=4)
    run(
        40,
        validate=lambda network: {"score": 1.0, "dice": 0.5},
        config=config,
        observer=Observer(on_validation=told.append),
    )
    assert [record["step"] for record in told] == [10, 20, 30, 40]
    assert [record["progress"] for record in told] == [0.25, 0.5, 0.75, 1.0]
    assert {record["dice"] for record in told} == {0.5}


def test_a_training_of_one_step_is_validated_once():
    told: list[Record] = []
    run(1, observer=Observer(on_validation=told.append))
    assert len(told) == 1


def test_the_history_holds_what_the_validations_measured_without_what_is_not_a_number():
    state, _ = run(2, validate=lambda network: {"score": float("nan"), "dice": 0.5}, config=TrainConfig(validations=1))
    (record,) = state.history
    assert record["dice"] == 0.5
    assert record["step"] == 2
    assert "score" not in record


def test_what_is_validated_is_the_mean_of_the_networks_so_far_if_the_average_spans_all():
    network = fresh()
    weights, judged = [], []

    def validate(average):
        assert not average.training
        assert average is not network
        judged.append(copied(average.state_dict()))
        return {}

    run(
        5,
        network=network,
        validate=validate,
        config=TrainConfig(average_share=1.0, validations=1, learning_rate=0.1),
        observer=Observer(on_step=lambda record, left: weights.append(copied(network.state_dict()))),
    )
    for name, tensor in judged[-1].items():
        every = torch.stack([one[name] for one in weights])
        expected = every.mean(dim=0) if every.is_floating_point() else every[-1]
        torch.testing.assert_close(tensor, expected, rtol=1e-5, atol=1e-6)


def test_stopping_saves_the_state_and_says_that_the_training_is_not_complete(tmp_path):
    path = tmp_path / "state.safetensors"
    asked = iter([False, False, True])
    state, complete = run(6, state_path=path, observer=Observer(should_stop=lambda: next(asked)))
    assert not complete
    assert state.step == 3
    assert path.exists()
    again, _ = run(1)
    assert load_state(again, path, identity={})
    assert again.step == 3
    assert same(again.network.state_dict(), state.network.state_dict())


def test_the_time_before_the_first_step_counts_also_in_a_state_and_for_a_resumed_training(tmp_path):
    path = tmp_path / "state.safetensors"
    stop_at_once = Observer(should_stop=lambda: True)
    for runs in (1, 2):
        state, _ = run(6, state_path=path, observer=stop_at_once, started=time.monotonic() - 100)
        assert 100 * runs <= state.seconds < 100 * runs + 30
        assert 0 < state.trained < 30
        assert load_state(run(1)[0], path, identity={})


@pytest.mark.parametrize(
    ("device", "pace", "expected"),
    [("cuda", StepPace(3), True), ("cuda", TimePace(end=0.0, reserve=0.0), False), ("cpu", StepPace(3), False)],
    ids=["steps on a card", "a time on a card", "steps on the processor"],
)
def test_on_a_graphics_card_a_number_of_steps_asks_for_convolutions_that_repeat(device, pace, expected):
    with _repeatable(torch.device(device), pace):
        assert torch.backends.cudnn.deterministic is expected
    assert not torch.backends.cudnn.deterministic


def test_a_training_goes_on_only_as_the_same_training(tmp_path):
    path = tmp_path / "state.safetensors"
    state, _ = run(2)
    save_state(state, path, identity={"steps": 4})
    with pytest.raises(UsageError, match=r"started with steps = 4, now it is 5; .*without --resume"):
        run(5, state_path=path, identity={"steps": 5})


def test_training_leaves_the_random_numbers_of_its_caller_alone():
    network = fresh()
    torch.manual_seed(7)
    before = torch.get_rng_state()
    run(3, network=network)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_training_that_fails_leaves_the_random_numbers_of_its_caller_alone():
    network = fresh()
    before = torch.get_rng_state()
    with pytest.raises(TrainingError, match="loss became"):
        run(3, network=network, batches=Disc(wild_at=1))
    assert torch.equal(torch.get_rng_state(), before)


def test_the_random_numbers_of_the_caller_do_not_reach_the_training():
    torch.manual_seed(1)
    first = losses_of(0)
    torch.manual_seed(2)
    assert losses_of(0) == first


def test_a_budget_that_is_over_trains_no_step_and_validates_once():
    now = 5.0
    judged: list[UNet] = []

    def validate(network):
        judged.append(network)
        return {}

    state, complete = train(
        fresh(),
        Disc(),
        pace=TimePace(end=now, reserve=1.0, clock=lambda: now),
        config=TrainConfig(),
        loss=LossConfig(),
        validate=validate,
    )
    assert complete
    assert state.step == 0
    assert len(judged) == 1
    assert same(state.average, state.network.state_dict())


@pytest.mark.parametrize("largest", [1e-3, 1e3])
def test_gradients_are_clipped_as_pytorch_clips_them(largest, monkeypatch):
    config = TrainConfig(largest_gradient=largest)
    state, _ = run(3, config=config)

    def always(gradients, **more):
        torch.nn.utils.clip_grad_norm_(list(network.parameters()), largest)
        return torch.zeros(())

    network = fresh()
    monkeypatch.setattr(torch.nn.utils, "get_total_norm", always)
    expected, _ = run(3, network=network, config=config)
    assert same(state.network.state_dict(), expected.network.state_dict())


def test_gradient_descent_takes_the_gradient_and_a_share_of_the_step_before():
    network = fresh()
    steps = [copied(dict(network.named_parameters()))]
    gradients, rates = [], []

    def note(record, left):
        steps.append(copied(dict(network.named_parameters())))
        gradients.append({name: parameter.grad.clone() for name, parameter in network.named_parameters()})
        rates.append(record["rate"])

    config = TrainConfig(
        optimizer="sgd", learning_rate=0.1, momentum=0.7, warmup=0.0, weight_decay=0.0, largest_gradient=1e6
    )
    run(2, network=network, config=config, observer=Observer(on_step=note))
    for name, start in steps[0].items():
        first, second = gradients[0][name], gradients[1][name]
        torch.testing.assert_close(steps[1][name], start - rates[0] * first, msg=name)
        torch.testing.assert_close(steps[2][name], steps[1][name] - rates[1] * (second + 0.7 * first), msg=name)


@pytest.mark.parametrize(("axes", "depth"), [(2, 0), (2, 2), (3, 1)])
def test_muon_moves_all_convolutions_between_the_first_and_the_last(axes, depth):
    network = UNet(isotropic_config(spatial_axes=axes, depth=depth, width=4, padding="same"))
    optimizer = _optimizer(network, TrainConfig())
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    moved = {name for name, parameter in network.named_parameters() if "momentum_buffer" in optimizer.state[parameter]}
    filters = {name for name, parameter in network.named_parameters() if parameter.ndim > 1}
    first = "encoders.0.block.0.weight" if depth else "bottom.0.weight"
    assert moved == filters - {first, "head.weight"}
    assert moved


@pytest.mark.parametrize("momentum", [0.5, 0.9])
def test_muon_has_the_momentum_of_the_settings(momentum):
    gradients = []
    network = fresh()
    bottom = network.bottom[0].weight
    bottom.register_hook(lambda slopes: gradients.append(slopes.clone()))
    state, _ = run(1, network=network, config=TrainConfig(momentum=momentum, largest_gradient=1e9))
    torch.testing.assert_close(state.optimizer.state[bottom]["momentum_buffer"], (1 - momentum) * gradients[0])


def test_weights_decay_by_their_share_times_the_rate():
    class Nothing(Disc):
        def batch(self, step):
            batch = super().batch(step)
            return replace(batch, weights=torch.zeros_like(batch.weights))

    network = fresh()
    before = copied(dict(network.named_parameters()))
    run(1, network=network, batches=Nothing(), config=TrainConfig(learning_rate=0.1, weight_decay=0.5, warmup=0.0))
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(parameter.detach(), before[name] * (1 - 0.1 * 0.5), msg=name)
