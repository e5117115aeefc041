import pytest
import torch
from torch import nn

from segue.train.muon import COEFFICIENTS, LENGTH, Muon, orthogonal


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(5, 40), (40, 5), (16, 16), (1, 9)])
def test_directions_stay_and_all_become_about_equally_long(shape):
    matrix = random(*shape)
    found = orthogonal(matrix)
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    lengths = left.T @ found @ right.T
    assert ((lengths.diagonal() > 0.5) & (lengths.diagonal() < 1.4)).all()
    between = lengths - torch.diag(lengths.diagonal())
    assert between.abs().max() < 1e-4


@pytest.mark.parametrize("shape", [(5, 40), (40, 5), (64, 64), (128, 2304)])
@pytest.mark.parametrize("decay", [0.0, 4.0], ids=["all strong", "some 10,000 times weaker than others"])
def test_it_is_five_times_the_polynomial_of_the_matrix_itself(shape, decay):
    matrix = random(*shape) * torch.logspace(0, -decay, shape[1])
    linear, cubic, quintic = COEFFICIENTS
    x = matrix.double() / matrix.double().norm()
    for _ in range(5):
        x = linear * x + cubic * x @ x.T @ x + quintic * x @ x.T @ x @ x.T @ x
    torch.testing.assert_close(orthogonal(matrix).double(), x, rtol=0, atol=1e-3 * float(x.abs().max()))


@pytest.mark.parametrize("weakest", [0.5, 0.1, 0.01])
def test_directions_much_weaker_than_others_become_about_as_long(weakest):
    left, right = (torch.linalg.qr(random(8, 8, seed=seed)).Q for seed in (1, 2))
    matrix = left @ torch.diag(torch.tensor([1.0] * 4 + [0.7] * 3 + [weakest])) @ right
    lengths = (left.T @ orthogonal(matrix) @ right.T).diagonal()
    assert lengths.min() > 0.68
    assert lengths.max() < 1.21


def test_where_no_gradient_leads_nothing_moves():
    """Rounding leaves X X^T small values, also negative ones, where it has none: they must not grow into steps."""
    matrix = random(128, 3) @ random(3, 1000, seed=1)
    lengths = torch.linalg.svdvals(orthogonal(matrix))
    assert (lengths[:3] > 0.68).all()
    assert lengths[0] < 1.21
    assert lengths[3] < 1e-3


def test_a_matrix_of_zeros_stays_one():
    assert orthogonal(torch.zeros(3, 5)).abs().max() == 0


@pytest.mark.parametrize("kernel", [(3, 3), (3, 3, 3), (1, 3, 3)])
def test_the_first_step_of_filters_is_their_orthogonal_gradient_and_the_decay(kernel):
    filters = nn.Parameter(random(6, 4, *kernel))
    before, gradient = filters.detach().clone(), random(6, 4, *kernel, seed=1)
    filters.grad = gradient.clone()
    Muon([filters], filters=[filters], lr=0.1, weight_decay=0.3, momentum=0.9).step()
    rows = orthogonal(gradient.flatten(1)).view(gradient.shape)  # the order of columns says nothing
    expected = before * (1 - 0.1 * 0.3) - 0.1 * LENGTH * rows
    torch.testing.assert_close(filters.detach(), expected, rtol=1e-4, atol=1e-5)


def test_momentum_is_that_of_nesterov():
    filters = nn.Parameter(torch.zeros(3, 7))
    optimizer = Muon([filters], filters=[filters], lr=1.0, weight_decay=0.0, momentum=0.8)
    first, second = random(3, 7, seed=1), random(3, 7, seed=2)
    for gradient in (first, second):
        before = filters.detach().clone()
        filters.grad = gradient.clone()
        optimizer.step()
    momentum = 0.8 * first + second
    expected = before - LENGTH * orthogonal(second + 0.8 * momentum)
    torch.testing.assert_close(filters.detach(), expected, rtol=1e-4, atol=1e-4)


def test_what_is_no_filter_goes_as_with_adamw():
    mine, theirs = ([nn.Parameter(random(4)), nn.Parameter(random(2, 3, 3, 3))] for _ in range(2))
    filters = nn.Parameter(random(4, 2, 3, 3))
    optimizers = (
        Muon([*mine, filters], filters=[filters], momentum=0.95, lr=0.01, weight_decay=0.1),
        torch.optim.AdamW(theirs, fused=True, lr=0.01, weight_decay=0.1),
    )
    for step in range(3):
        for parameters in ([*mine, filters], theirs):
            for parameter in parameters:
                parameter.grad = random(*parameter.shape, seed=step)
        for optimizer in optimizers:
            optimizer.step()
    assert all(torch.equal(*pair) for pair in zip(mine, theirs, strict=True))


def test_many_rows_move_as_several_matrices_of_nearly_equal_size(monkeypatch):
    monkeypatch.setattr("segue.train.muon.MOST_ROWS", 4)
    filters = nn.Parameter(torch.zeros(10, 8))
    filters.grad = random(10, 8)
    gradient = filters.grad.clone()
    Muon([filters], filters=[filters], lr=1.0, weight_decay=0.0, momentum=0.0).step()
    expected = [-LENGTH * orthogonal(rows) for rows in (gradient[:4], gradient[4:7], gradient[7:])]
    torch.testing.assert_close(filters.detach(), torch.cat(expected))
