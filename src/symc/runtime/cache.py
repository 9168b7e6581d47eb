"""The disk cache: compiled programs, one file per entry.

Before: a key (bytes, made by the driver from the canonical IR, flags, versions and CPU features)
and an `Entry` (program bytes, object bytes, metadata).
After: the same entry in any later process, or a miss.

Invariants:
- an entry file is magic, version, SHA-256 of the rest, lengths, key, sections; nothing is
  unpickled;
- any defect (short, altered, another version, another key, unreadable) is a silent miss, and the
  next `put` replaces the file; a torn write is such a defect, so nothing is synced to disk;
- files appear by rename within the directory, so that readers see whole entries only;
- the directory belongs to this user with mode 0700 and is no symbolic link; else the cache stays
  unused, with one warning;
- the total size is kept below the limit, least recently used first, while other processes may
  delete and add entries.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import stat
import struct
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

from symc.records import dataclass

MAGIC = b"SYMCACHE"
VERSION = 1
SUFFIX = ".symc"
DEFAULT_LIMIT = 1 << 30

_TEMPORARY = ".new-"
_ABANDONED_SECONDS = 3600.0
_HEADER = struct.Struct("<8sI32s")
_LENGTHS = struct.Struct("<IQQQ")
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class CacheWarning(UserWarning):
    """The cache directory cannot be used."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What one key stands for; `metadata` is any JSON object."""

    program: bytes
    object_code: bytes
    metadata: dict[str, object]


@dataclass(frozen=True, slots=True)
class Stored:
    """One file of the cache: its name without suffix, size, and when it was last used."""

    name: str
    bytes: int
    used: float


@dataclass(frozen=True, slots=True)
class Usage:
    """Totals of a cache directory; `problem` says why it is not used."""

    directory: Path
    entries: int
    bytes: int
    limit: int
    problem: str | None


def default_directory() -> Path:
    """`$XDG_CACHE_HOME/symc` when that is an absolute path, else `~/.cache/symc`."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    root = Path(base) if base and Path(base).is_absolute() else Path.home() / ".cache"
    return root / "symc"


class DiskCache:
    """Entries under one directory, shared by all processes of the user."""

    __slots__ = ("_warned", "directory", "limit")

    def __init__(self, directory: Path | None = None, limit: int = DEFAULT_LIMIT) -> None:
        self.directory = default_directory() if directory is None else directory
        self.limit = limit
        self._warned = False

    def get(self, key: bytes) -> Entry | None:
        """The entry of `key`, or None; marks it as used."""
        with self._opened(create=False) as folder:
            if folder is None:
                return None
            data = _read(folder, _file_name(key))
        return None if data is None else _unpack(data, key)

    def put(self, key: bytes, entry: Entry) -> bool:
        """Store `entry`; whether it was stored (a full disk is no error)."""
        data = _pack(key, entry)
        if len(data) > self.limit:
            return False
        with self._opened(create=True) as folder:
            if folder is None:
                return False
            stored = _write(folder, _file_name(key), data)
            _evict(folder, self.limit)
        return stored

    def stat(self) -> Usage:
        """How much is stored."""
        found = self.list()
        problem = _problem(self.directory)
        return Usage(self.directory, len(found), sum(s.bytes for s in found), self.limit, problem)

    def list(self) -> list[Stored]:
        """Every entry, most recently used first."""
        with self._opened(create=False) as folder:
            found = [] if folder is None else _scan(folder)
        return sorted(found, key=lambda stored: -stored.used)

    def purge(self) -> int:
        """Delete every entry; how many there were."""
        with self._opened(create=False) as folder:
            if folder is None:
                return 0
            found = _scan(folder)
            for stored in found:
                _unlink(folder, stored.name + SUFFIX)
        return len(found)

    @contextlib.contextmanager
    def _opened(self, *, create: bool) -> Iterator[int | None]:
        """A descriptor of the directory, or None when it is absent or must not be used."""
        folder = self._open(create=create)
        try:
            yield folder
        finally:
            if folder is not None:
                os.close(folder)

    def _open(self, *, create: bool) -> int | None:
        try:
            if create:
                self.directory.parent.mkdir(parents=True, exist_ok=True)
                with contextlib.suppress(FileExistsError):
                    self.directory.mkdir(mode=0o700)
            folder = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except FileNotFoundError:
            return None
        except OSError as error:
            self._warn(error.strerror or "cannot be opened")
            return None
        problem = _unsafe(os.fstat(folder))
        if problem is not None:
            os.close(folder)
            self._warn(problem)
            return None
        return folder

    def _warn(self, problem: str) -> None:
        if not self._warned:
            self._warned = True
            text = f"symc does not use its cache directory {self.directory}: {problem}"
            warnings.warn(text, CacheWarning, stacklevel=2)


def _file_name(key: bytes) -> str:
    return hashlib.sha256(key).hexdigest() + SUFFIX


def _unsafe(status: os.stat_result) -> str | None:
    if status.st_uid != os.geteuid():
        return "it belongs to another user"
    if stat.S_IMODE(status.st_mode) & 0o077:
        return f"its mode is {stat.S_IMODE(status.st_mode):o}, expected 700"
    return None


def _problem(directory: Path) -> str | None:
    try:
        status = os.lstat(directory)
    except OSError as error:
        return error.strerror
    if not stat.S_ISDIR(status.st_mode):
        return "it is not a directory"
    return _unsafe(status)


def _pack(key: bytes, entry: Entry) -> bytes:
    metadata = json.dumps(entry.metadata, sort_keys=True, separators=(",", ":")).encode()
    sections = (entry.program, entry.object_code, metadata)
    body = b"".join((_LENGTHS.pack(len(key), *map(len, sections)), key, *sections))
    return _HEADER.pack(MAGIC, VERSION, hashlib.sha256(body).digest()) + body


def _unpack(data: bytes, key: bytes) -> Entry | None:
    """The entry in `data`; None for any defect."""
    if len(data) < _HEADER.size + _LENGTHS.size:
        return None
    magic, version, digest = _HEADER.unpack_from(data)
    body = memoryview(data)[_HEADER.size :]
    if magic != MAGIC or version != VERSION or hashlib.sha256(body).digest() != digest:
        return None
    lengths = _LENGTHS.unpack_from(body)
    if _LENGTHS.size + sum(lengths) != len(body):
        return None
    parts = []
    at = _LENGTHS.size
    for length in lengths:
        parts.append(bytes(body[at : at + length]))
        at += length
    found, program, object_code, encoded = parts
    if found != key:
        return None
    try:
        metadata = json.loads(encoded)
    except ValueError:
        return None
    return Entry(program, object_code, metadata) if isinstance(metadata, dict) else None


def _read(folder: int, name: str) -> bytes | None:
    """The bytes of a regular file of this user, marked as used now; None when it is not there."""
    try:
        file = os.open(name, _READ, dir_fd=folder)
    except OSError:
        return None
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
            return None
        with os.fdopen(file, "rb", closefd=False) as reader:
            data = reader.read()
        with contextlib.suppress(OSError):
            os.utime(file)
        return data
    except OSError:
        return None
    finally:
        os.close(file)


def _write(folder: int, name: str, data: bytes) -> bool:
    temporary = f"{_TEMPORARY}{os.getpid()}-{secrets.token_hex(8)}"
    try:
        file = os.open(temporary, _CREATE, 0o600, dir_fd=folder)
    except OSError:
        return False
    try:
        with os.fdopen(file, "wb") as writer:
            writer.write(data)
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        _unlink(folder, temporary)
        return False
    return True


def _unlink(folder: int, name: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(name, dir_fd=folder)


def _names(folder: int) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _scan(folder: int) -> list[Stored]:
    """The entries that exist now; others may vanish meanwhile."""
    found = []
    for name in _names(folder):
        if not name.endswith(SUFFIX) or name.startswith("."):
            continue
        with contextlib.suppress(OSError):
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
            found.append(Stored(name.removesuffix(SUFFIX), status.st_size, status.st_mtime))
    return found


def _evict(folder: int, limit: int) -> None:
    """Delete the least recently used entries above the limit, and abandoned temporary files."""
    found = sorted(_scan(folder), key=lambda stored: stored.used)
    total = sum(stored.bytes for stored in found)
    for stored in found:
        if total <= limit:
            break
        _unlink(folder, stored.name + SUFFIX)
        total -= stored.bytes
    before = time.time() - _ABANDONED_SECONDS
    for name in _names(folder):
        if not name.startswith(_TEMPORARY):
            continue
        with contextlib.suppress(OSError):
            if os.stat(name, dir_fd=folder, follow_symlinks=False).st_mtime < before:
                _unlink(folder, name)
