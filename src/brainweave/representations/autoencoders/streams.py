"""Activations slice by slice, made while they are read: deep networks in little memory, exactly.

A layer reads the slices of the one before it a slab at a time, with a margin that it keeps from
slab to slab: nothing is made twice in a pass, and nothing needs to exist as a whole. A GroupNorm
has to see all of its input before it gives anything: that is a pass of its own, after which its
input is made again, unless there was `Room` to keep it. Values are those of the plain pass but for
rounding. For volumes [1 c i j k] without gradients; `lean` does the arithmetic.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from brainweave import lean

Shape = tuple[int, int, int]
Slab = Float[Tensor, "1 _ _ _ _"]
Reader = Callable[[int], Slab]  # the next so many slices


@dataclass(frozen=True)
class Stream:
    """An activation whose slices along i come in order, as often as it is opened.

    like: without elements, of its type and on its device. load: bytes per slice of the widest
    activation on the way; held: those that layers hold between slabs. kept: the tensors that it is
    made from; spare: those of them that nothing else needs. whole: itself, where it is stored.
    """

    channels: int
    shape: Shape
    open: Callable[[], Reader]
    like: Tensor
    load: int
    held: int = 0
    kept: tuple[Tensor, ...] = ()
    spare: tuple[Tensor, ...] = ()
    whole: Tensor | None = None

    @property
    def slice_size(self) -> int:
        """Bytes of one slice."""
        return self.channels * self.shape[1] * self.shape[2] * self.like.element_size()

    @property
    def size(self) -> int:
        """Bytes of the whole."""
        return self.slice_size * self.shape[0]

    @property
    def used(self) -> int:
        """Bytes that there are while it is read, about: the tensors that it is made from, what
        layers hold and a few slabs, half as much again since memory is not reused at once."""
        passing = 4 * (self.thick + 2) * self.load + self.held
        return 3 * passing // 2 + sum(tensor.nbytes for tensor in self.kept)

    @property
    def thick(self) -> int:
        """Slices of a slab, an even number."""
        return 2 * max(1, min(lean.SLAB // (2 * self.load), -(-self.shape[0] // 2)))

    @property
    def place(self) -> Slab | None:
        """A spare tensor of its shape: slices are read before they are written over."""
        shape = (1, self.channels, *self.shape)
        return next((tensor for tensor in self.spare if tensor.shape == shape), None)

    def slabs(self) -> Iterator[tuple[int, int, Slab]]:
        """All of it, a few slices at a time, with where these begin and end."""
        read, depth = self.open(), self.shape[0]
        for start in range(0, depth, self.thick):
            stop = min(start + self.thick, depth)
            yield start, stop, read(stop - start)

    def gathered(self) -> Slab:
        """The whole."""
        if self.whole is not None:
            return self.whole
        out = empty(self.like, self.channels, self.shape) if self.place is None else self.place
        for start, stop, slab in () if self.like.is_meta else self.slabs():
            out[:, :, start:stop] = slab
        return out


class Room:
    """What may be kept: all that fits into so many bytes, or simply all (0).

    On the meta device nothing is made, but `needed` says how many bytes would have been.
    """

    def __init__(self, memory: int = 0) -> None:
        self.memory, self.needed = memory, 0

    def keep(self, stream: Stream, *, beside: int = 0) -> Stream:
        """The stream, stored if it fits with so many bytes beside it."""
        if stream.whole is not None:
            return stream
        size = stream.size if stream.place is None else 0
        if self.memory and stream.used + size + beside > self.memory:
            return stream
        return stored(self.gathered(stream, beside=size))

    def gathered(self, stream: Stream, *, beside: int = 0) -> Slab:
        """The whole stream, whatever it takes, with so many bytes beside it."""
        self.needed = max(self.needed, stream.used + beside)
        return stream.gathered()


def stored(x: Slab, *, spare: bool = True) -> Stream:
    """A tensor as a stream; if it is spare, it may be written over."""
    _, channels, i, j, k = x.shape
    return Stream(
        channels,
        (i, j, k),
        lambda: _Stored(x).read,
        x.new_empty(0),
        load=x[:, :, :1].nbytes,
        kept=(x,),
        spare=(x,) if spare else (),
        whole=x,
    )


class Window(NamedTuple):
    """What a layer sees of its input to make `scale` slices: the next `step` ones, and some before
    and after them; beyond the ends zeros, or the last slice (`same`)."""

    before: int = 0
    after: int = 0
    step: int = 1
    scale: int = 1
    same: bool = False


def layer(
    source: Stream,
    work: Callable[[Slab], Slab],
    channels: int,
    window: Window,
    fill: Callable[[Slab, Slab], object] | None = None,
) -> Stream:
    """What `work` makes of windows, into which slices get through `fill` (from, to)."""
    step, scale = window.step, window.scale
    i, j, k = (edge * scale // step for edge in source.shape)
    made = replace(source, channels=channels, shape=(i, j, k), whole=None)
    return replace(
        made,
        open=lambda: _Made(_Windows(source, window, fill), work, scale).read,
        load=max(source.load * step // scale, made.slice_size),
        held=source.held
        + (window.before + window.after) * source.slice_size
        + (scale - 1) * made.slice_size,
    )


def forked(
    source: Stream, main: Callable[[Stream], Stream], skip: Callable[[Stream], Stream]
) -> Stream:
    """The sum of what two paths make of a stream, which is read once for both."""
    bare = replace(source, held=0)
    one, other = main(bare), skip(bare)
    kept, spare = (
        tuple({id(tensor): tensor for tensor in tensors}.values())
        for tensors in (one.kept + other.kept, one.spare + other.spare)
    )
    return replace(
        one,
        open=lambda: _Sum(source, main, skip).read,
        load=max(one.load, other.load),
        held=source.held + one.held + other.held + 2 * source.slice_size,  # main is two layers
        kept=kept,
        spare=spare,
    )


class _Stored:
    """Reads a tensor."""

    def __init__(self, x: Slab) -> None:
        self.x, self.at = x, 0

    def read(self, count: int) -> Slab:
        self.at += count
        return self.x[:, :, self.at - count : self.at]


class _Made:
    """Reads what is made of windows."""

    def __init__(self, windows: "_Windows", work: Callable[[Slab], Slab], scale: int) -> None:
        self.windows, self.work, self.scale = windows, work, scale
        self.ready = _Queue()

    def read(self, count: int) -> Slab:
        missing = count - self.ready.depth
        if missing > 0:
            self.ready.add(self.work(self.windows(-(-missing // self.scale))))
        return self.ready.take(count)


class _Windows:
    """One window after the other."""

    def __init__(
        self, source: Stream, window: Window, fill: Callable[[Slab, Slab], object] | None
    ) -> None:
        self.source, self.window, self.fill = source, window, fill
        margin, (_, j, k) = window.before + window.after, source.shape
        self.held = empty(source.like, source.channels, (margin, j, k)).zero_()
        self.kept, self.at = window.before, 0  # slices of `held`, and of the source, so far
        self.read = source.open()

    def __call__(self, count: int) -> Slab:
        before, after, step, _, same = self.window
        if self.fill is None and not before + after:
            return self.read(step * count)
        total, (depth, j, k) = before + step * count + after, self.source.shape
        fresh = min(total - self.kept, depth - self.at)
        slab, end = self.read(fresh) if fresh else None, self.kept + fresh
        z = empty(self.source.like, self.source.channels, (total, j, k))
        if slab is not None and self.fill is not None:
            self.fill(slab, z[:, :, self.kept : end])
        elif slab is not None:
            z[:, :, self.kept : end] = slab
        z[:, :, : self.kept] = self.held[:, :, : self.kept]
        z[:, :, end:] = 0
        if same and not self.at:
            z[:, :, : self.kept] = z[:, :, self.kept : self.kept + 1]
        if same and end < total:
            z[:, :, end:] = z[:, :, end - 1 : end]
        self.held.copy_(z[:, :, total - before - after :])
        self.kept, self.at = before + after, self.at + fresh
        return z


class _Queue:
    """Slices in order."""

    def __init__(self) -> None:
        self.slabs: list[Slab] = []

    @property
    def depth(self) -> int:
        return sum(slab.shape[2] for slab in self.slabs)

    def add(self, slab: Slab) -> None:
        self.slabs.append(slab)

    def take(self, count: int) -> Slab:
        z = self.slabs[0] if len(self.slabs) == 1 else torch.cat(self.slabs, dim=2)
        self.slabs = [z[:, :, count:].clone()] if z.shape[2] > count else []
        return z[:, :, :count]


class _Sum:
    """Reads the sum of two paths."""

    def __init__(
        self, source: Stream, main: Callable[[Stream], Stream], skip: Callable[[Stream], Stream]
    ) -> None:
        fork = _Fork(source.open())
        self.main = main(replace(source, open=lambda: fork.ahead)).open()
        self.skip = skip(replace(source, open=lambda: fork.behind)).open()

    def read(self, count: int) -> Slab:
        return self.main(count).add_(self.skip(count))


class _Fork:
    """Two readers of what is read once; one of them may be ahead."""

    def __init__(self, read: Reader) -> None:
        self.read, self.between = read, _Queue()

    def ahead(self, count: int) -> Slab:
        slab = self.read(count)
        self.between.add(slab)
        return slab

    def behind(self, count: int) -> Slab:
        missing = count - self.between.depth
        if missing > 0:
            self.ahead(missing)
        return self.between.take(count)


def empty(like: Tensor, channels: int, shape: Shape) -> Slab:
    """Room for an activation."""
    return torch.empty(
        (1, channels, *shape), dtype=like.dtype, device=like.device, memory_format=lean.LAST
    )
