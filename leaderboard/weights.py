"""The identity of weights: a hash, computed from a safetensors file without model or torch."""

import hashlib
import json
from pathlib import Path

TYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}
"""Names of types in the format, and in torch."""


def weights_sha256(path: Path) -> str:
    """The hash of all tensors of a safetensors file: names, types, shapes and bytes.

    For a checkpoint it equals the hash in records, which is computed from the model in memory.

    Raises:
        ValueError: it is not a complete safetensors file.
        OSError: it can't be read.
    """
    content = path.read_bytes()
    begin = 8 + int.from_bytes(content[:8], "little")
    digest = hashlib.sha256()
    try:
        header = json.loads(content[8:begin])
        header.pop("__metadata__", None)
        for name, tensor in sorted(header.items()):
            first, last = (begin + offset for offset in tensor["data_offsets"])
            if last > len(content):
                raise ValueError("it is truncated")
            shape = tuple(tensor["shape"])
            digest.update(f"{name} torch.{TYPES[tensor['dtype']]} {shape} ".encode())
            digest.update(content[first:last])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} is not a complete safetensors file: {error}") from None
    return digest.hexdigest()
