"""What belongs together, also over several steps."""

from collections.abc import Iterable

import numpy as np


def connected_groups(count: int, pairs: Iterable[tuple[int, int]]) -> list[tuple[int, ...]]:
    """The numbers from 0 to `count` - 1 in groups, each ascending, in the order of their first ones.

    Two numbers are in one group if pairs lead from one to the other; a number in no pair is a group of its own.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ends = np.array([*pairs], np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(ends), np.int8), (ends[:, 0], ends[:, 1])), shape=(count, count))
    groups: dict[int, list[int]] = {}
    for number, component in enumerate(connected_components(graph, directed=False)[1].tolist()):
        groups.setdefault(component, []).append(number)
    return [tuple(group) for group in groups.values()]
