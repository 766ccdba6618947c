"""The pickle inside a PyTorch weight file, read without running anything.

A pickle is a program for a small stack machine, and the usual machine lets it import and call any Python
function. The one below knows only the instructions that torch.save writes for a state dict, and only the
names of torch_names.py. It is written out rather than derived from pickle.Unpickler, because that class
can be kept from importing but not from the rest: it reserves whatever memory a damaged length or memo
index asks for, and calls methods (append, __setitem__, __setstate__) of whatever lies on the stack.
"""

import pickletools
from typing import Any, BinaryIO

from universeg_jax.errors import WeightsError
from universeg_jax.weights.torch_names import Storage, call, find_global, find_storage, set_items

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
    memo: dict[int, Any] = {}

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
                stack.append(find_global(*argument.split(" ", 1)))
            case "STACK_GLOBAL":
                name, module = stack.pop(), stack.pop()
                stack.append(find_global(module, name))
            case "REDUCE" | "NEWOBJ":
                arguments, function = stack.pop(), stack.pop()
                stack.append(call(function, arguments))
            case "BUILD":
                # Attributes: what a state dict carries is _metadata, the versions of its modules.
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
