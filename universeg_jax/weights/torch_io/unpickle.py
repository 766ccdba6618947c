"""Read the pickle inside a PyTorch weight file without executing anything.

The file names classes and functions of torch. Here a storage class is represented by its dtype. Each function is a few
lines that check their arguments. torch/_utils.py, torch/_tensor.py and torch/serialization.py write these names.

A pickle is a program for a small stack machine. Python's own machine lets it import and call any function. This one
knows only the instructions that `torch.save` writes for a state dict, and only the names in `find_global`.

`pickle.Unpickler` is not used. A subclass can forbid imports. But it still reserves as much memory as a damaged length
demands, and calls methods of any object on the stack.
"""

import pickletools
from dataclasses import dataclass
from typing import Any, BinaryIO

import ml_dtypes
import numpy as np

from universeg_jax.errors import WeightsError

STORAGE_DTYPES = {
    "DoubleStorage": np.dtype(np.float64),
    "FloatStorage": np.dtype(np.float32),
    "HalfStorage": np.dtype(np.float16),
    "BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "LongStorage": np.dtype(np.int64),
    "IntStorage": np.dtype(np.int32),
    "ShortStorage": np.dtype(np.int16),
    "CharStorage": np.dtype(np.int8),
    "ByteStorage": np.dtype(np.uint8),
    "BoolStorage": np.dtype(np.bool_),
}
"""Names of torch's storage classes, and what they hold."""


@dataclass(frozen=True)
class Storage:
    """A block of memory of the saving program: its name in the file, and what it holds."""

    key: str
    dtype: np.dtype
    numel: int

    @property
    def nbytes(self) -> int:
        return self.numel * self.dtype.itemsize


@dataclass(frozen=True)
class Tensor:
    """A view into a storage; offset and strides count elements. They are not yet checked against the storage."""

    storage: Storage
    dtype: np.dtype
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


def _rebuild_tensor(storage, offset, size, stride, *, dtype=None):
    if not isinstance(storage, Storage) or not isinstance(dtype, np.dtype | None):
        raise WeightsError("a tensor is described without its storage or dtype")
    if not (isinstance(size, tuple) and isinstance(stride, tuple) and len(size) == len(stride) <= 64):
        raise WeightsError("a tensor's size and stride are not tuples of one length (at most 64)")
    if any(type(number) is not int or number < 0 for number in (offset, *size, *stride)):
        raise WeightsError("a tensor's offset, size or stride is not a whole number of at least 0")
    return Tensor(storage, dtype or storage.dtype, offset, size, stride)


def _rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks, metadata=None, *, dtype=None):
    if metadata:
        raise WeightsError("a tensor is a lazy conjugate or negative: save it after resolve_conj, resolve_neg")
    return _rebuild_tensor(storage, offset, size, stride, dtype=dtype)


def _rebuild_tensor_v3(storage, offset, size, stride, requires_grad, hooks, dtype, metadata=None):
    return _rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks, metadata, dtype=dtype)


def _rebuild_parameter(data, requires_grad, hooks, state=None):
    if not isinstance(data, Tensor):
        raise WeightsError("a parameter is described without its tensor")
    return data


def _size(numbers):
    if not isinstance(numbers, tuple):
        raise WeightsError("a torch.Size is not made of a tuple")
    return numbers


def _ordered_dict(pairs=None):
    result = {}
    if pairs is not None:  # Python 2 handed over a list of pairs
        if not isinstance(pairs, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
            raise WeightsError("an OrderedDict is not made of a list of pairs")
        set_items(result, [element for pair in pairs for element in pair])
        pairs.clear()  # torch uses each list once; used again and again, a short file could fill the memory
    return result


GLOBALS = {
    "collections.OrderedDict": _ordered_dict,
    "torch.Size": _size,
    "torch._utils._rebuild_tensor": _rebuild_tensor,  # before 0.4
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor_v2,
    "torch._utils._rebuild_tensor_v3": _rebuild_tensor_v3,  # dtypes without a storage class
    "torch._utils._rebuild_parameter": _rebuild_parameter,
    "torch._utils._rebuild_parameter_with_state": _rebuild_parameter,
    "torch.storage.UntypedStorage": np.dtype(np.uint8),
    **{f"torch.{name}": dtype for name, dtype in STORAGE_DTYPES.items()},
    **{f"torch.{dtype.name}": dtype for dtype in STORAGE_DTYPES.values()},
    **{f"torch.{name}": np.dtype(name) for name in ("uint16", "uint32", "uint64")},
}
"""Every name a file may mention. The functions are ours; nothing is imported."""


def find_global(module, name):
    """Return the stand-in for a class or function of the file; raise a WeightsError for any other."""
    if not isinstance(module, str) or not isinstance(name, str):
        raise WeightsError("asks for a function whose name is not a string")
    full_name = f"{module}.{name}"
    if full_name not in GLOBALS:
        raise WeightsError(
            f"asks for {full_name[:100]!r}, which a plain state dict does not need; nothing was executed. "
            "In PyTorch, save model.state_dict() alone, in a dtype among "
            + ", ".join(dtype.name for dtype in STORAGE_DTYPES.values())
        )
    return GLOBALS[full_name]


def call(function, arguments):
    """Call a stand-in that `find_global` returned. Nothing else on the stack can be called."""
    if not callable(function) or not isinstance(arguments, tuple):
        raise WeightsError("calls something that is not a function")
    return function(*arguments)


def find_storage(identifier) -> Storage:
    """Return the storage that a persistent id describes."""
    # The legacy format adds a sixth element, for the views of storages that early PyTorch made; now None.
    match identifier:
        case ("storage", np.dtype() as dtype, str(key), str(), int(numel), *view) if numel >= 0:
            if view in ([], [None]):
                return Storage(key, dtype, numel)
    raise WeightsError("refers to something that is not a whole storage: save model.state_dict() with newer PyTorch")


def set_items(target, items) -> None:
    """Enter keys and values, which alternate in items."""
    if not isinstance(target, dict) or len(items) % 2:
        raise WeightsError("sets an entry of something that is not a dictionary")
    for key, value in zip(items[::2], items[1::2], strict=True):
        # No tuples: hashing a deep nest of them would overflow the C stack.
        if not isinstance(key, str | int | float | None):
            raise WeightsError(f"has a dictionary key of type {type(key).__name__}")
        target[key] = value


# An instruction makes at most a few hundred bytes of objects, so this bounds memory. A tensor takes
# about 25 instructions: enough for 80 000 tensors.
MAX_INSTRUCTIONS = 2_000_000

CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}


def _extend(target, items) -> None:
    if not isinstance(target, list):
        raise WeightsError("appends to something that is not a list")
    target.extend(items)


def load_pickle(stream: BinaryIO, storages: dict[str, Storage] | None = None) -> Any:
    """Read one pickle from a stream and leave the stream behind it.

    Args:
        stream: an io.BytesIO (other streams reserve memory for lengths that the file only claims).
        storages: filled with every storage the pickle mentions, by its key.

    Returns:
        None, bool, int, float, str, list, tuple, dict, np.dtype, Storage and Tensor, nested.

    Raises:
        WeightsError: it needs anything else (named in the message), or makes no sense.
    """
    try:
        return _interpret(stream, {} if storages is None else storages)
    except WeightsError:
        raise
    except (ValueError, TypeError, LookupError) as error:
        # Undecodable bytes, wrong arguments of a function above, an empty stack, a missing memo entry.
        raise WeightsError(f"is damaged: its pickle makes no sense ({str(error)[:200]})") from error


def _interpret(stream: BinaryIO, storages: dict[str, Storage]) -> Any:
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[Any, Any] = {}

    def pop_to_mark() -> list[Any]:
        start = marks.pop()
        items = stack[start:]
        del stack[start:]
        return items

    for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
        if count > MAX_INSTRUCTIONS:
            raise WeightsError(f"has a pickle of more than {MAX_INSTRUCTIONS} instructions")
        match opcode.name:
            case "PROTO" | "FRAME":
                pass
            case "STOP":
                return stack.pop()
            case "NONE" | "NEWTRUE" | "NEWFALSE" | "EMPTY_TUPLE":
                stack.append(CONSTANTS[opcode.name])
            case "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT":
                stack.append(argument)
            case "BINUNICODE" | "SHORT_BINUNICODE" | "BINSTRING" | "SHORT_BINSTRING":
                stack.append(argument)
            case "EMPTY_LIST":
                stack.append([])
            case "EMPTY_DICT":
                stack.append({})
            case "MARK":
                marks.append(len(stack))
            case "TUPLE":
                stack.append(tuple(pop_to_mark()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                length = int(opcode.name[-1])
                stack[-length:] = [tuple(stack[-length:])]
            case "APPEND":
                item = stack.pop()
                _extend(stack[-1], [item])
            case "APPENDS":
                items = pop_to_mark()
                _extend(stack[-1], items)
            case "SETITEM":
                value, key = stack.pop(), stack.pop()
                set_items(stack[-1], [key, value])
            case "SETITEMS":
                items = pop_to_mark()
                set_items(stack[-1], items)
            case "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "MEMOIZE":
                memo[len(memo)] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "GLOBAL":
                stack.append(find_global(*str(argument).split(" ", 1)))
            case "STACK_GLOBAL":
                name, module = stack.pop(), stack.pop()
                stack.append(find_global(module, name))
            case "REDUCE" | "NEWOBJ":
                arguments, function = stack.pop(), stack.pop()
                stack.append(call(function, arguments))
            case "BUILD":
                # A state dict has one attribute, _metadata: the versions of its modules.
                stack.pop()
                if not isinstance(stack[-1], dict):
                    raise WeightsError("sets attributes of something that is not an OrderedDict")
            case "BINPERSID":
                storage = find_storage(stack.pop())
                if storages.setdefault(storage.key, storage) != storage:
                    raise WeightsError(f"describes storage {storage.key[:100]!r} in two ways")
                stack.append(storage)
            case name:
                raise WeightsError(f"uses the pickle instruction {name}, which a state dict does not need")
    raise WeightsError("is damaged: its pickle has no end")
