"""What holds for all tests: one thread for each process, and the same examples in every run."""

import os

# Before torch is imported: small arrays gain nothing from more threads, and test processes run side by side.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from hypothesis import settings

# No deadline: a busy machine is no defect. The same examples everywhere: a failure can be repeated.
settings.register_profile("segue", deadline=None, derandomize=True, database=None)
settings.load_profile("segue")
