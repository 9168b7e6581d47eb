"""The driver: an entry becomes something that runs."""

from symc.compile.driver import Compiled, compile_entry, recording

__all__ = ["Compiled", "compile_entry", "recording"]
