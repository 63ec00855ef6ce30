"""Names for the shapes of tensors. Images are float32 in [0, 1]."""

from collections.abc import Callable

from jaxtyping import Bool, Float, Int
from torch import Tensor

Images = Float[Tensor, "n c h w"]
Labels = Int[Tensor, " n"]
Logits = Float[Tensor, "n k"]
Values = Float[Tensor, " n"]
Flags = Bool[Tensor, " n"]

Model = Callable[[Tensor], Tensor]
"""Images (n, c, h, w) in [0, 1] -> logits (n, k); normalisation lives inside it."""
