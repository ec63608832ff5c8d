import pytest
import torch
from aeon.datasets import load_basic_motions


@pytest.fixture(scope="session")
def basic_motions():
    """40 series of 100 steps and 6 variables."""
    return load_basic_motions(split="train")[0].transpose(0, 2, 1)


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    """The same sums in the same order, here and in child processes."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
