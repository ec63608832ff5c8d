"""Attention and dropout that a processor trains quickly with.

torch draws dropout's masks number by number on a CPU, and its attention falls back to a sequence of passes
through memory as soon as there is dropout. Here 16 random bits decide on a value, and attention works on as
many heads at a time as its caches hold. Other devices have kernels of their own, which are used there.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

__all__ = ["NOTHING", "attention", "dropout", "self_attention"]

#: Scores that are worked on at a time: half a megabyte.
_SCORES = 2**17
#: Shares of a softmax below this count as 0. Products with them are soon too small for normalised floats,
#: which a processor multiplies a hundred times slower.
NOTHING = 1e-20


def dropout(x: Tensor, p: float, training: bool) -> Tensor:
    """`x` with a share `p` of its values put to 0 and the others scaled up, where `training`.

    On a CPU the share is a multiple of 2^-16, and the scale goes with it.
    """
    if not training or p == 0 or x.device.type != "cpu":
        return F.dropout(x, p, training)
    kept, scale = _kept(x.shape, p)
    return x * kept.to(x.dtype).mul_(scale)


def self_attention(qkv: Tensor, p: float = 0.0, there: Tensor | None = None) -> Tensor:
    """`attention` of queries, keys and values that lie side by side, (B, T, 3, heads, width)."""
    if _by_torch(qkv, p):
        q, k, v = qkv.unbind(2)
        return attention(q, k, v, p, there)
    found: Tensor = _Attention.apply(p, there, qkv)
    return found


def attention(q: Tensor, k: Tensor, v: Tensor, p: float = 0.0, there: Tensor | None = None) -> Tensor:
    """softmax(q kᵀ / √width) v in every head, a share `p` of the softmax dropped.

    Parameters
    ----------
    q : Tensor, shape (B, Q, heads, width)
    k, v : Tensor, shape (B, K, heads, width)
    p : float
    there : Tensor of bool, shape (B, K), optional
        Keys that count; default: all.

    Returns
    -------
    Tensor, shape (B, Q, heads, width)
    """
    if _by_torch(q, p):
        mask = None if there is None else there[:, None, None]
        q, k, v = (one.transpose(1, 2) for one in (q, k, v))
        return F.scaled_dot_product_attention(q, k, v, mask, p).transpose(1, 2)
    found: Tensor = _Attention.apply(p, there, q, k, v)
    return found


def _by_torch(x: Tensor, p: float) -> bool:
    return p == 0 or x.device.type != "cpu" or x.dtype not in (torch.float32, torch.bfloat16)


def _kept(shape: torch.Size, p: float) -> tuple[Tensor, float]:
    """1 for values that are kept and 0 for others, and by how much the former are to be scaled.

    As whole numbers of 16 bits: torch makes these, and floats of them, several times as fast as booleans.
    """
    dropped, n = min(round(p * 2**16), 2**16 - 1), shape.numel()
    bits = torch.empty(-(-n // 4), dtype=torch.int64).random_(-(2**63), None).view(torch.int16)
    return bits[:n].ge_(dropped - 2**15).view(shape), 2**16 / (2**16 - dropped)


class _Attention(torch.autograd.Function):
    """`parts` are queries, keys and values, or one tensor of all three."""

    @staticmethod
    def forward(ctx: Any, p: float, there: Tensor | None, *parts: Tensor) -> Tensor:
        q, k, v = parts[0].unbind(2) if len(parts) == 1 else parts
        batch, n_queries, n_heads, width = q.shape
        # The softmax, negative where dropped: one tensor keeps both for the way back.
        signed = q.new_empty(batch, n_heads, n_queries, k.shape[1])
        found, ctx.scale, nothing = q.new_empty(q.shape), 1.0, q.new_empty(())
        for part in _parts(signed):
            mine = signed[part].flatten(0, 1)
            keys = _heads(k[part]).transpose(1, 2)
            torch.baddbmm(nothing, _heads(q[part]), keys, beta=0, alpha=width**-0.5, out=mine)
            if there is not None:
                mine.masked_fill_(~there[part].repeat_interleave(n_heads, 0)[:, None], -torch.inf)
            soft = F.threshold(mine.softmax(2), NOTHING, 0.0, inplace=True)
            kept, ctx.scale = _kept(soft.shape, p)
            torch.mul(soft, kept.mul_(2).sub_(1).to(soft.dtype), out=mine)
            found[part] = _series((mine.relu() @ _heads(v[part])).mul_(ctx.scale), n_heads)
        ctx.save_for_backward(*parts, signed, found)
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        *parts, signed, found = ctx.saved_tensors
        (grad,) = grads
        of_parts = [part.new_empty(part.shape) for part in parts]
        (q, k, v), (of_q, of_k, of_v) = (
            one[0].unbind(2) if len(one) == 1 else one for one in (parts, of_parts)
        )
        n_heads, scale = q.shape[2], q.shape[3] ** -0.5
        # What the softmax's own derivative subtracts from a row: its gradients' mean, weighted by itself.
        mean = (grad * found).sum(3, keepdim=True)
        for part in _parts(signed):
            mine, mine_of = signed[part].flatten(0, 1), _heads(grad[part]) * ctx.scale
            kept = mine.relu()
            of_v[part] = _series(kept.transpose(1, 2) @ mine_of, n_heads)
            of_scores = (mine_of @ _heads(v[part]).transpose(1, 2)).mul_(kept)
            of_scores.addcmul_(mine.abs(), _heads(mean[part]), value=-1).mul_(scale)
            of_q[part] = _series(of_scores @ _heads(k[part]), n_heads)
            of_k[part] = _series(of_scores.transpose(1, 2) @ _heads(q[part]), n_heads)
        return None, None, *of_parts


def _heads(x: Tensor) -> Tensor:
    """(B, T, heads, width) as matrices (B · heads, T, width)."""
    return x.transpose(1, 2).flatten(0, 1)


def _series(x: Tensor, n_heads: int) -> Tensor:
    """What `_heads` was given."""
    return x.unflatten(0, (-1, n_heads)).transpose(1, 2)


def _parts(scores: Tensor) -> list[slice]:
    size = max(1, _SCORES // scores[0].numel())
    return [slice(at, at + size) for at in range(0, len(scores), size)]
