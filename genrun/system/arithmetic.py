"""Check what a device computes in reduced precision (bfloat16, 16 bits), operation by operation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils import deterministic
from torch.utils._python_dispatch import TorchDispatchMode

from genrun.compat import in_backward_pass, schema_of
from genrun.errors import WrongArithmetic

REDUCED = (torch.bfloat16, torch.float16)
# Operations that are linear in each tensor: with |·| of all tensors, they give the scale of the rounding errors.
PRODUCTS = {"convolution", "convolution_backward", "mm", "addmm", "bmm", "baddbmm", "mv", "addmv", "linear"}
ATTENTION = "_scaled_dot_product"  # how the names of its operations begin
TOLERANCE = 4  # rounding errors of one number, relative to the scale: partial sums are rounded too
NOT_REPEATED = "gives two results for the same numbers: it reads memory that was never written"
SMALLEST_BLOCK, LARGEST_BLOCK = 2**12, 2**26  # bytes of free memory that is spoilt


class Call(NamedTuple):
    """A call of a layer that has begun, and what it takes to do it again."""

    layer: nn.Module
    inputs: tuple = ()  # copies: the layer may write into what it is given
    buffers: dict[str, Tensor] | None = None
    random: Sequence[Tensor] = ()
    own: Any = None  # what the layer keeps besides weights and buffers


class CheckedArithmetic(TorchDispatchMode):
    """Check all computations in reduced precision while the context lasts; results, buffers and random streams stay as they are.

    Each operation, once for the same shapes, is done again, while new memory holds NaN: one that reads what was never written gives
    something else, or NaN. A product (a convolution or a product of matrices, and their gradients) is also done in 32 bits, where the
    difference must be of the size of rounding errors: |x - x₃₂| ≤ 4ε · |a| * |b|. Operations in place, and those that draw random numbers,
    are not done again.

    The forward of an innermost layer that is not torch's is done again as a whole, whatever it is made of, and may give NaN only where 32
    bits do. A layer that changes what it keeps in each call is left out. What does not fit into the device's memory twice is not checked.

    Args:
        network: whose layers are named in errors.

    Attributes:
        operations: how many operations were checked.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.names = {layer: name for name, layer in network.named_modules()}
        self.whole = type(network).__name__
        self.calls: list[Call] = []  # the layer whose forward runs, after those around it
        # address of a tensor in the forward pass → the layer that used it, for the backward pass
        self.layer_of: dict[int, str] = {}
        self.seen: set[tuple[Any, str]] = set()
        self.operations = 0
        self.paused = False
        self.hooks = ExitStack()

    def __enter__(self) -> CheckedArithmetic:
        for handle in (
            register_module_forward_pre_hook(self.begin_call),
            register_module_forward_hook(self.end_call, with_kwargs=True),
        ):
            self.hooks.callback(handle.remove)
        # the C library keeps for later only blocks smaller than the largest one that was freed
        torch.empty(LARGEST_BLOCK // 2, dtype=torch.uint8)
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        self.hooks.close()
        super().__exit__(*error)

    # -- layers

    def begin_call(self, layer: nn.Module, inputs: tuple) -> None:
        if self.paused:
            return
        call = Call(layer)
        own = not str(getattr(layer.forward, "__module__", "")).startswith("torch.")
        if own and next(layer.children(), None) is None:
            with self.pause():
                buffers = {name: buffer.clone() for name, buffer in layer.named_buffers()}
                call = Call(layer, mapped(inputs, copy), buffers, random_states(), kept_by(layer))
        self.calls.append(call)

    def end_call(self, layer: nn.Module, _: tuple, kwargs: dict, output: Any) -> None:
        if self.paused:
            return
        call = self.calls.pop()
        reduced = isinstance(output, Tensor) and output.dtype in REDUCED and output.numel()
        if not reduced or call.buffers is None or not all(map(torch.equal, call.random, random_states())):
            return
        if kept_by(layer) != call.own:  # another call would find another state
            return
        wrong = None
        with self.pause(), suppress(torch.OutOfMemoryError):
            wrong = what_is_wrong_with(call, kwargs, output.detach())
        if wrong is not None:
            raise WrongArithmetic(f"{self.names.get(layer) or type(layer).__name__}: {described(output)} {wrong}")

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Check nothing while the context lasts."""
        self.paused = True
        try:
            yield
        finally:
            self.paused = False

    # -- operations

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        numbers = [tensor for tensor in tensors(args) if tensor.dtype in REDUCED]
        if self.paused or not numbers or not repeatable(func, args, kwargs) or not self.is_new(func, args):
            return func(*args, **kwargs)
        again = with_copies(func, args)  # before the operation changes them
        layer = self.layer(numbers)
        result = func(*args, **kwargs)
        self.operations += 1
        wrong = None
        with suppress(torch.OutOfMemoryError):
            wrong = self.what_is_wrong(func, result, again, kwargs, numbers)
        if wrong is not None:
            raise WrongArithmetic(f"{layer}: {name_of(func)} {described(numbers[0])} {wrong}")
        return result

    def is_new(self, func: Any, args: tuple) -> bool:
        """Return whether an operation was not done before on tensors of these shapes and strides."""
        seen = (func, repr(shapes(args)))
        new = seen not in self.seen
        self.seen.add(seen)
        return new

    def layer(self, numbers: list[Tensor]) -> str:
        """Return the name of the layer that does an operation on these tensors."""
        if in_backward_pass():
            known = [self.layer_of[one.data_ptr()] for one in reversed(numbers) if one.data_ptr() in self.layer_of]
            return known[0] if known else self.whole
        layer = self.calls[-1].layer if self.calls else None
        name = self.names.get(layer) or (self.whole if layer is None else type(layer).__name__)
        for number in numbers:
            self.layer_of[number.data_ptr()] = name
        return name

    def what_is_wrong(self, func: Any, result: Any, args: tuple, kwargs: dict, numbers: list[Tensor]) -> str | None:
        """Return what is wrong with the result of an operation; None if nothing is."""
        first = outputs(func, result)
        # an operation on each number by itself needs no memory beside its result
        most = 0 if torch.Tag.pointwise in func.tags else max(one.nbytes for one in [*numbers, *first])
        with new_memory_is_nan(numbers[0].device, most):
            second = outputs(func, func(*args, **kwargs))
        # without deterministic algorithms a sum may be added up in another order
        repeats = same if torch.are_deterministic_algorithms_enabled() else same_gaps
        if not all(map(repeats, first, second)):
            return NOT_REPEATED
        if name_of(func) not in PRODUCTS:
            return None
        exact = outputs(func, func(*mapped(args, up), **kwargs))
        # β and α of addmm are numbers
        scales = outputs(
            func, func(*mapped(args, lambda one: up(one.abs())), **{k: size(v) for k, v in kwargs.items()})
        )
        for value, expected, scale in zip(first, exact, scales, strict=True):
            kind = torch.finfo(value.dtype)
            error = (value.float() - expected).abs()
            fine = error <= TOLERANCE * kind.eps * scale + kind.smallest_normal
            fine |= ~expected.isfinite() | (scale > kind.max / 2)  # NaN came in, or 16 bits cannot hold it
            if not fine.all():
                return difference(value, expected, fine)
        return None


def what_is_wrong_with(call: Call, kwargs: dict, output: Tensor) -> str | None:
    """Return what is wrong with the output of a layer in reduced precision; None if nothing is."""

    def again(change: Callable[[Tensor], Tensor]) -> Tensor:
        buffers = mapped(call.buffers, copy)  # batch normalisation writes into its own
        return torch.func.functional_call(call.layer, buffers, mapped(call.inputs, change), mapped(kwargs, change))

    with torch.no_grad():
        with new_memory_is_nan(output.device, output.nbytes):
            second = again(copy)
        if not same(output, second):
            return NOT_REPEATED
        if any(weight.dtype in REDUCED for weight in call.layer.parameters()):
            return None
        with torch.autocast(output.device.type, enabled=False):
            exact = again(lambda tensor: up(tensor.clone()))
        # how far the numbers may be apart depends on the layer: its products are compared by themselves
        fine = output.isfinite() | ~exact.isfinite() | (exact.abs() > torch.finfo(output.dtype).max / 2)
        return None if fine.all() else difference(output, exact, fine)


def difference(value: Tensor, exact: Tensor, fine: Tensor) -> str:
    """Say how far a result is from that in 32 bits, where it is not fine."""
    worst = torch.where(fine, 0, (value.float() - exact).abs().nan_to_num(nan=torch.inf)).argmax()
    return f"gives {value.flatten()[worst]:.4g} where 32 bits give {exact.flatten()[worst]:.4g}"


def described(tensor: Tensor) -> str:
    return f"in {str(tensor.dtype).removeprefix('torch.')} on this {tensor.device.type}"


def copy(tensor: Tensor) -> Tensor:
    return tensor.detach().clone()


def fault_of(network: nn.Module, *inputs: Tensor, dtype: torch.dtype = torch.bfloat16) -> str | None:
    """Check the operations of a network, forward and backward; return the first fault, or None.

    Args:
        inputs: its inputs, on its device.
        dtype: the reduced precision.
    """
    try:
        with CheckedArithmetic(network):
            with torch.autocast(inputs[0].device.type, dtype):
                output = network(*inputs)
            output.float().square().sum().backward()
    except WrongArithmetic as error:
        return str(error)
    return None


def tensors(values: Any) -> Iterator[Tensor]:
    """Yield the floating-point tensors among values, also those in lists."""
    for value in values:
        if isinstance(value, Tensor):
            if value.is_floating_point():
                yield value
        elif isinstance(value, list | tuple):
            yield from tensors(value)


def name_of(func: Any) -> str:
    return schema_of(func).name.removeprefix("aten::")


def shapes(values: Any) -> list:
    """Return values with the shape, the strides and the type of each tensor in its place."""
    if isinstance(values, Tensor):
        return [values.shape, values.stride(), values.dtype]
    return [shapes(value) for value in values] if isinstance(values, list | tuple) else values


def random_states() -> list[Tensor]:
    """Return the states of torch's random streams."""
    return [torch.get_rng_state(), *(torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [])]


def repeatable(func: Any, args: tuple, kwargs: dict) -> bool:
    """Return whether an operation can be done twice, and should give the same."""
    name = name_of(func)
    if func.namespace != "aten" or schema_of(func).is_mutable or func.is_view or "empty" in name:
        return False
    if torch.Tag.nondeterministic_seeded in func.tags:
        of_attention = dict(zip((one.name for one in schema_of(func).arguments), args, strict=False)) | kwargs
        return name.startswith(ATTENTION) and not of_attention.get("dropout_p")
    return torch.are_deterministic_algorithms_enabled() or name in PRODUCTS


def with_copies(func: Any, args: tuple) -> tuple:
    """Return the arguments of an operation, with copies of those that it changes although its schema says that it changes none."""
    names = [one.name for one in schema_of(func).arguments]
    running = ("running_mean", "running_var")  # of batch normalisation
    pairs = zip(names, args, strict=False)
    return tuple(value.clone() if name in running and value is not None else value for name, value in pairs)


def outputs(func: Any, result: Any) -> list[Tensor]:
    """Return the tensors of a result that count: all gradients, or the first; others may be scratch that nobody reads."""
    found = list(tensors(result if isinstance(result, list | tuple) else [result]))
    return found if "backward" in schema_of(func).name else found[:1]


def same(one: Tensor, other: Tensor) -> bool:
    """Return whether two tensors are equal, NaN where the other is NaN."""
    return torch.equal(one, other) or bool(((one == other) | (one.isnan() & other.isnan())).all())


def same_gaps(one: Tensor, other: Tensor) -> bool:
    """Return whether two tensors are NaN in the same places."""
    return torch.equal(one.isnan(), other.isnan())


def kept_by(layer: nn.Module) -> dict[str, Any]:
    """Return what a layer keeps in attributes of its own, such as a count of its calls, in a form that can be compared."""
    return {name: repr(value) for name, value in vars(layer).items() if not name.startswith("_") and name != "training"}


def up(tensor: Tensor) -> Tensor:
    """Return a tensor of reduced precision in 32 bits; another one unchanged."""
    return tensor.float() if tensor.dtype in REDUCED else tensor


def size(value: Any) -> Any:
    return abs(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def mapped(values: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Return values with every floating-point tensor changed, also those in lists and dictionaries."""
    if isinstance(values, Tensor):
        return change(values) if values.is_floating_point() else values
    if isinstance(values, dict):
        return {key: mapped(value, change) for key, value in values.items()}
    if type(values) in (list, tuple):
        return type(values)(mapped(value, change) for value in values)
    return values


@contextmanager
def new_memory_is_nan(device: torch.device, largest: int) -> Iterator[None]:
    """Let memory that is allocated while the context lasts hold NaN where nothing has been written.

    torch fills what it allocates itself. For what a library allocates beside it, free blocks of many sizes are filled here.

    Args:
        largest: the largest of them, about, in bytes.
    """
    blocks, block = [], SMALLEST_BLOCK
    while block < min(2 * largest, LARGEST_BLOCK):
        blocks.append(torch.full((block // 4,), torch.nan, device=device))
        block *= 2
    del blocks
    before, deterministic.fill_uninitialized_memory = deterministic.fill_uninitialized_memory, True
    try:
        yield
    finally:
        deterministic.fill_uninitialized_memory = before
