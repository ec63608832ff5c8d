"""How many threads small computations get."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

__all__ = ["one_blas_thread_if_small", "one_torch_thread_if_small"]

#: Multiplications of one step, below which a second thread waits for the first longer than it works.
_SMALL = 20_000_000


def one_torch_thread_if_small(n_multiplications: float) -> AbstractContextManager[None]:
    """A block in which torch uses one thread for small steps; the setting is restored.

    A network of 10,000 weights on batches of 64 rows takes as long on two threads as on one, and twice the
    processor's time, which other runs on the machine could use.
    """
    from workbench.training.threads import one_thread_if

    return one_thread_if(n_multiplications < _SMALL)


@contextmanager
def one_blas_thread_if_small(n_multiplications: float) -> Iterator[None]:
    """The same for scikit-learn's linear models. Torch's threads are not touched: the two do not mix."""
    from threadpoolctl import threadpool_limits

    if n_multiplications >= _SMALL:
        yield
        return
    with threadpool_limits(1, user_api="blas"):
        yield
