import threading

import pytest
import torch

from segue.predict.crew import ALONE, crew

CPU = torch.device("cpu")
BOXES = [((number, number + 1),) for number in range(20)]


@pytest.fixture(params=[1, 2])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_every_box_is_worked_on_once(threads):
    done: list[int] = []
    with crew(CPU) as each:
        each.work(lambda box: done.append(box[0][0]), BOXES)
    assert sorted(done) == list(range(20))
    assert torch.get_num_threads() == threads


@pytest.mark.usefixtures("threads")
def test_no_box_is_no_work():
    with crew(CPU) as each:
        each.work(lambda _box: pytest.fail("there is nothing to do"), [])


def test_each_of_several_threads_computes_alone_and_without_gradients():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    seen: list[tuple[int, bool]] = []
    try:
        with crew(CPU) as each, torch.inference_mode():
            each.work(lambda _box: seen.append((torch.get_num_threads(), torch.is_inference_mode_enabled())), BOXES)
    finally:
        torch.set_num_threads(before)
    assert set(seen) == {(1, True)}


def test_a_single_piece_is_done_by_the_caller_with_all_threads(threads):
    seen: list[object] = []
    with crew(CPU) as each:
        each.work(lambda _box: seen.extend((threading.current_thread(), torch.get_num_threads())), BOXES[:1])
    assert seen == [threading.main_thread(), threads]


def test_an_error_in_a_piece_ends_the_work(threads):
    done: list[int] = []
    with pytest.raises(ZeroDivisionError), crew(CPU) as each:
        each.work(lambda box: done.append(1 // box[0][0]), BOXES)
    assert torch.get_num_threads() == threads


def test_a_graphics_card_needs_one_thread():
    with crew(torch.device("cuda")) as each:
        assert each is ALONE
