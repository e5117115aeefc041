import pytest
import torch

from segue.errors import ModelFileError, UsageError
from segue.io.files import temporary_name
from segue.model.unet import UNet, initialize, isotropic_config, memory_format
from segue.train.state import TrainState, load_state, save_state


def fresh(axes=2, seed=0):
    sizes = {"spatial_axes": axes, "depth": 1, "width": 2, "padding": "same", "normalization": "batch"}
    network = UNet(isotropic_config(**sizes, dropout=0.0))
    initialize(network, generator=torch.Generator().manual_seed(seed))
    network.to(memory_format=memory_format(network.config.spatial_axes))  # type: ignore[call-overload]
    average = {name: tensor.clone() + 1 for name, tensor in network.state_dict().items()}
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, fused=True)
    return TrainState(network=network, average=average, optimizer=optimizer)


def used(axes=2):
    """A state after two steps, with something of everything."""
    state = fresh(axes)
    for seed in range(2):
        image = torch.randn(2, 1, *(8,) * axes, generator=torch.Generator().manual_seed(seed))
        state.network(image).square().mean().backward()
        state.optimizer.step()
        state.optimizer.zero_grad()
    state.best = {name: tensor * 2 for name, tensor in state.average.items()}
    state.best_score = 1 / 3
    state.step, state.seconds, state.validations = 12, 34.56789, 3
    state.history = [{"step": 4.0, "score": 0.1}, {"step": 8.0, "score": 1 / 3}]
    return state


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("axes", [2, 3])
def test_a_state_comes_back_bit_for_bit(tmp_path, axes):
    path = tmp_path / "state.safetensors"
    state, loaded = used(axes), fresh(axes, seed=9)
    save_state(state, path, identity={"steps": 5})
    assert load_state(loaded, path, identity={"steps": 5})
    assert same(loaded.network.state_dict(), state.network.state_dict())
    assert same(loaded.average, state.average)
    assert same(loaded.best, state.best)
    found, expected = (one.optimizer.state_dict() for one in (loaded, state))
    assert found["param_groups"] == expected["param_groups"]
    assert found["state"].keys() == expected["state"].keys()
    assert all(same(found["state"][index], expected["state"][index]) for index in expected["state"])
    for name in ("best_score", "step", "seconds", "trained", "validations", "history"):
        assert getattr(loaded, name) == getattr(state, name), name


@pytest.mark.parametrize("axes", [2, 3])
def test_a_loaded_state_takes_the_same_next_step(tmp_path, axes):
    path = tmp_path / "state.safetensors"
    state, loaded = used(axes), fresh(axes, seed=9)
    save_state(state, path, identity={})
    load_state(loaded, path, identity={})
    image = torch.randn(2, 1, *(8,) * axes, generator=torch.Generator().manual_seed(5))
    for one in (state, loaded):
        one.network(image).square().mean().backward()
        one.optimizer.step()
    assert same(loaded.network.state_dict(), state.network.state_dict())


def test_a_state_from_before_the_first_step_comes_back(tmp_path):
    path = tmp_path / "state.safetensors"
    save_state(fresh(), path, identity={})
    loaded = used()
    assert load_state(loaded, path, identity={})
    assert (loaded.step, loaded.best, loaded.best_score, loaded.history) == (0, None, float("-inf"), [])


def test_there_is_nothing_to_go_on_with_in_an_empty_or_missing_folder(tmp_path):
    state = fresh()
    assert not load_state(state, tmp_path / "state.safetensors", identity={})
    assert not load_state(state, tmp_path / "nowhere" / "state.safetensors", identity={})
    assert state.step == 0


def twice_saved(folder):
    path = folder / "state.safetensors"
    state = used()
    save_state(state, path, identity={})
    state.step = 20
    save_state(state, path, identity={})
    return path


def flip_a_bit(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def test_the_state_before_is_used_when_the_newest_is_missing_or_damaged(tmp_path):
    path = twice_saved(tmp_path)
    state = fresh()
    assert load_state(state, path, identity={})
    assert state.step == 20
    flip_a_bit(path)
    assert load_state(state, path, identity={})
    assert state.step == 12
    assert not path.exists()  # a damaged one would become "the one before" when the next is saved
    assert load_state(state, path, identity={})
    assert state.step == 12


def test_two_damaged_states_are_an_error_and_not_a_new_beginning(tmp_path):
    path = twice_saved(tmp_path)
    for file in tmp_path.iterdir():
        flip_a_bit(file)
    with pytest.raises(ModelFileError, match=r"state\.safetensors: neither .* nor the one before it .*damaged"):
        load_state(fresh(), path, identity={})


def test_the_state_of_another_training_is_refused_and_changes_nothing(tmp_path):
    path = tmp_path / "state.safetensors"
    save_state(used(), path, identity={"plan": "a", "threads": 2})
    state = fresh()
    before = {name: tensor.clone() for name, tensor in state.network.state_dict().items()}
    with pytest.raises(UsageError, match=r"threads = 2, now it is 1; resume with the same settings and data"):
        load_state(state, path, identity={"plan": "a", "threads": 1})
    assert same(state.network.state_dict(), before)
    assert state.step == 0


def test_leftovers_of_killed_processes_are_swept_away(tmp_path):
    path = twice_saved(tmp_path)
    leftover = tmp_path / temporary_name("state.safetensors", process=999999999)
    leftover.write_bytes(b"half")
    load_state(fresh(), path, identity={})
    assert not leftover.exists()
