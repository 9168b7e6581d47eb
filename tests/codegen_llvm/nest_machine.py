"""Runs compiled nests in tests: guard pages around every buffer, any split of the blocks."""

import ctypes
import ctypes.util
import mmap

import llvmlite.binding as llvm
import numpy as np

from symc.codegen_llvm import Compiled, abi, compile_nests, host
from symc.ir.dims import substitute
from symc.ir.evaluate_nest import Trap

PAGE = mmap.PAGESIZE
_libc = ctypes.CDLL(ctypes.util.find_library("c"), use_errno=True)
KERNEL = ctypes.CFUNCTYPE(
    ctypes.c_int32,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_int64,
    ctypes.c_int64,
)


class Guarded:
    """`size` bytes that end (or begin) at a page that nobody may touch."""

    def __init__(self, size: int, *, at_start: bool = False) -> None:
        pages = -(-max(size, 1) // PAGE)
        self.map = mmap.mmap(-1, (pages + 2) * PAGE)
        start = ctypes.addressof(ctypes.c_char.from_buffer(self.map))
        for page in (start, start + (pages + 1) * PAGE):
            assert _libc.mprotect(ctypes.c_void_p(page), PAGE, 0) == 0
        self.address = start + PAGE + (0 if at_start else pages * PAGE - size)
        self.size = size

    def write(self, array: np.ndarray) -> None:
        data = np.ascontiguousarray(array)
        ctypes.memmove(self.address, data.ctypes.data, data.nbytes)

    def read(self, like: np.ndarray) -> np.ndarray:
        raw = ctypes.string_at(self.address, like.nbytes)
        return np.frombuffer(raw, like.dtype).reshape(like.shape).copy()


class Loaded:
    """An object file in memory."""

    def __init__(self, compiled: Compiled) -> None:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        empty = llvm.parse_assembly("")
        machine = llvm.Target.from_default_triple().create_target_machine(
            reloc="pic", codemodel="small"
        )
        self.engine = llvm.create_mcjit_compiler(empty, machine)
        self.engine.add_object_file(llvm.ObjectFileRef.from_data(compiled.object))
        self.engine.finalize_object()

    def kernel(self, symbol: str):
        address = self.engine.get_function_address(symbol)
        assert address, symbol
        return KERNEL(address)


class Machine:
    """One compiled nest with buffers; `run(arrays)` gives the arrays after all launches."""

    def __init__(self, nest, target=None) -> None:
        self.nest = nest
        self.compiled = compile_nests([nest], target)
        self.loaded = Loaded(self.compiled)
        self.launches = self.compiled.launches[0]
        self.cancelled = False
        self.kernels = [self.loaded.kernel(launch.symbol) for launch in self.launches]

    def size(self, size, dims):
        value = substitute(size, dict(dims))
        assert isinstance(value, int)
        return value

    def run(self, arrays, dims=None, *, split: int = 0, at_start: bool = False):
        """Arrays after the call, and the first trap; `split`: blocks per kernel call, 0 for all."""
        dims = dims or {}
        buffers = []
        for array in arrays:
            guarded = Guarded(0 if array is None else array.nbytes, at_start=at_start)
            if array is not None:
                guarded.write(array)
            buffers.append(guarded)
        for launch in self.launches:
            buffers += [Guarded(self.size(s, dims)) for s in launch.temporaries]
        status = np.zeros(4, np.int64)
        code = 0
        for launch, kernel in zip(self.launches, self.kernels, strict=True):
            code |= self._launch(launch, kernel, buffers, dims, status, split)
        results = [
            None if array is None else buffer.read(array)
            for array, buffer in zip(arrays, buffers, strict=False)
        ]
        fields = status.tobytes()
        if code == abi.CANCELLED:
            return results, abi.CANCELLED
        assert (code == abi.TRAPPED) == (int.from_bytes(fields[:4], "little") != 0)
        node = int.from_bytes(fields[4:8], "little")
        trap = Trap(node, int(status[2]), int(status[3])) if code else None
        return results, trap

    def _launch(self, launch, kernel, buffers, dims, status, split):
        table = (ctypes.c_void_p * max(1, len(launch.operands)))(
            *[buffers[number].address for number in launch.operands]
        )
        sizes = (ctypes.c_int64 * max(1, len(launch.dims)))(*[dims[name] for name in launch.dims])
        need = self.size(launch.scratch, dims)
        scratch = Guarded(-(-need // 64) * 64)
        context = (ctypes.c_int64 * 6)()
        cancel = ctypes.c_int32(int(self.cancelled))
        context[abi.CTX_CANCEL // 8] = ctypes.addressof(cancel)
        context[abi.CTX_STATUS // 8] = status.ctypes.data
        context[abi.CTX_SCRATCH // 8] = scratch.address
        context[abi.CTX_SCRATCH_BYTES // 8] = need
        blocks = self.size(launch.blocks, dims)
        code = 0
        step = split or max(blocks, 1)
        for begin in range(0, blocks, step):
            code |= kernel(context, table, sizes, begin, min(begin + step, blocks))
        return code


__all__ = ["Guarded", "Loaded", "Machine", "host"]
