import pytest
from aeon.datasets import load_basic_motions


@pytest.fixture(scope="session")
def basic_motions():
    """40 series of 100 steps and 6 variables."""
    return load_basic_motions(split="train")[0].transpose(0, 2, 1)
