"""bf16 arithmetic, folded batch norm, and float32 without TF32."""

import copy
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Literal

import torch
from torch import nn

Precision = Literal["auto", "fp32", "bf16"]


def resolve(precision: Precision, device: torch.device) -> Precision:
    """`auto` becomes bf16 where the hardware multiplies it faster than float32, else fp32."""
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    return "bf16" if device.type == "cpu" and _cpu_multiplies_bf16_faster() else "fp32"


@cache
def _cpu_multiplies_bf16_faster() -> bool:
    """Timed, because of the processors with AVX512-BF16 and without AMX some multiply bf16 at twice
    the rate of float32, others at half of it. Both are far from the limit of 1.2, so that a resumed
    run chooses the same."""
    if not (torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()):
        return False
    return 1.2 * _product_seconds(torch.bfloat16) < _product_seconds(torch.float32)


def _product_seconds(dtype: torch.dtype) -> float:
    """The least of several times, because other programs can only lengthen them."""
    matrix = torch.ones(512, 512, dtype=dtype)
    seconds = []
    for _ in range(7):
        began = time.perf_counter()
        torch.mm(matrix, matrix)
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def fold_batch_norm(model: nn.Module) -> nn.Module:
    """The same function with each batch norm that follows a convolution folded into it; the model
    itself if it can't be traced."""
    from torch.fx.experimental.optimization import fuse

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return fuse(model)
    except Exception:  # tracing may raise any error
        return copy.deepcopy(model)


@contextmanager
def exact_float32() -> Iterator[None]:
    """No TF32 in convolutions or matrix products."""
    convolutions, products = torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()
    torch.backends.cudnn.allow_tf32 = False
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = convolutions
        torch.set_float32_matmul_precision(products)
