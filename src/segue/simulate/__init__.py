"""Images with exactly known truth: touching cells, membranes, vessels. For the demo, tests and scaling runs.

All are drawn from a seed: the same seed and settings give the same pixels. Intensities are whole numbers in
0..255, so that an 8-bit file holds an image without loss.
"""

from segue.simulate.cells import CellsConfig, simulate_cells
from segue.simulate.membranes import MembranesConfig, simulate_membranes
from segue.simulate.vessels import VesselsConfig, simulate_vessels

__all__ = [
    "CellsConfig",
    "MembranesConfig",
    "VesselsConfig",
    "simulate_cells",
    "simulate_membranes",
    "simulate_vessels",
]
