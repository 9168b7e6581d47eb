"""The disk cache: what is put is got, and nothing else ever is."""

import os
import random
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from symc.runtime.cache import SUFFIX, CacheWarning, DiskCache, Entry, default_directory

ENTRY = Entry(b"program bytes", b"\x7fELF object", {"flags": ["a"], "n": 3})
KEY = b"key of the entry"


@pytest.fixture
def cache(tmp_path: Path) -> DiskCache:
    return DiskCache(tmp_path / "cache" / "symc")


def file_of(cache: DiskCache) -> Path:
    (path,) = cache.directory.glob("*" + SUFFIX)
    return path


def test_round_trip(cache: DiskCache) -> None:
    assert cache.get(KEY) is None
    assert cache.put(KEY, ENTRY)
    assert cache.get(KEY) == ENTRY
    assert cache.get(b"another key") is None
    assert cache.directory.stat().st_mode & 0o777 == 0o700
    assert file_of(cache).stat().st_mode & 0o777 == 0o600


def test_empty_sections_and_keys(cache: DiskCache) -> None:
    empty = Entry(b"", b"", {})
    assert cache.put(b"", empty)
    assert cache.get(b"") == empty


def test_every_truncation_is_a_miss(cache: DiskCache) -> None:
    cache.put(KEY, ENTRY)
    path = file_of(cache)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert cache.get(KEY) is None
    path.write_bytes(whole + b"\0")
    assert cache.get(KEY) is None


def test_every_flipped_bit_is_a_miss(cache: DiskCache) -> None:
    cache.put(KEY, ENTRY)
    path = file_of(cache)
    whole = path.read_bytes()
    bits = random.Random(7)
    for at in range(len(whole)):
        altered = bytearray(whole)
        altered[at] ^= 1 << bits.randrange(8)
        path.write_bytes(altered)
        assert cache.get(KEY) is None
    assert cache.put(KEY, ENTRY)
    assert cache.get(KEY) == ENTRY


def test_an_entry_under_another_name_is_a_miss(cache: DiskCache) -> None:
    cache.put(KEY, ENTRY)
    first = file_of(cache)
    cache.put(b"other", Entry(b"other program", b"", {}))
    (other,) = set(cache.directory.glob("*" + SUFFIX)) - {first}
    first.write_bytes(other.read_bytes())
    assert cache.get(KEY) is None


def test_what_is_not_a_file_is_a_miss(cache: DiskCache, tmp_path: Path) -> None:
    cache.put(KEY, ENTRY)
    path = file_of(cache)
    target = tmp_path / "elsewhere"
    path.rename(target)
    path.symlink_to(target)
    assert cache.get(KEY) is None
    path.unlink()
    path.mkdir()
    assert cache.get(KEY) is None
    assert not cache.put(KEY, ENTRY)
    path.rmdir()
    os.mkfifo(path)
    assert cache.get(KEY) is None


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o755, 0o777])
def test_a_directory_that_others_can_enter_is_not_used(cache: DiskCache, mode: int) -> None:
    cache.put(KEY, ENTRY)
    cache.directory.chmod(mode)
    with pytest.warns(CacheWarning, match="mode"):
        assert cache.get(KEY) is None
    assert not cache.put(KEY, ENTRY)  # one warning only: a second would be an error here
    assert cache.stat().problem is not None
    cache.directory.chmod(0o700)
    assert cache.get(KEY) == ENTRY


def test_a_symbolic_link_is_not_used(cache: DiskCache, tmp_path: Path) -> None:
    cache.put(KEY, ENTRY)
    cache.directory.rename(tmp_path / "real")
    cache.directory.symlink_to(tmp_path / "real")
    with pytest.warns(CacheWarning):
        assert cache.get(KEY) is None


def test_a_directory_of_another_user_is_not_used(
    cache: DiskCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.put(KEY, ENTRY)
    other = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: other)
    with pytest.warns(CacheWarning, match="another user"):
        assert cache.get(KEY) is None


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "symc").write_text("not a directory")
    cache = DiskCache(tmp_path / "symc")
    with pytest.warns(CacheWarning):
        assert not cache.put(KEY, ENTRY)


def test_a_full_disk_is_a_miss(cache: DiskCache, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    cache.put(b"first", ENTRY)
    monkeypatch.setattr(os, "rename", full)
    assert not cache.put(KEY, ENTRY)
    monkeypatch.undo()
    assert list(cache.directory.glob(".*")) == []
    assert cache.get(KEY) is None


def test_the_least_recently_used_go_first(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path / "symc", limit=2000)
    keys = [f"key {i}".encode() for i in range(4)]
    for age, key in enumerate(keys[:3]):
        cache.put(key, Entry(bytes(500), b"", {}))
        newest = max(cache.directory.glob("*" + SUFFIX), key=lambda p: p.stat().st_mtime_ns)
        os.utime(newest, (age + 1, age + 1))
    assert cache.get(keys[0]) is not None  # now the most recently used
    cache.put(keys[3], Entry(bytes(500), b"", {}))
    assert cache.stat().bytes <= 2000
    assert [cache.get(key) is not None for key in keys] == [True, False, True, True]


def test_what_is_larger_than_the_limit_is_not_stored(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path / "symc", limit=100)
    assert not cache.put(KEY, Entry(bytes(200), b"", {}))
    assert cache.list() == []


def test_abandoned_temporary_files_go(cache: DiskCache) -> None:
    cache.put(KEY, ENTRY)
    old, new = cache.directory / ".new-1-old", cache.directory / ".new-1-new"
    old.write_bytes(b"")
    new.write_bytes(b"")
    os.utime(old, (0, 0))
    cache.put(b"other", ENTRY)
    assert not old.exists()
    assert new.exists()


def test_stat_list_purge(cache: DiskCache) -> None:
    assert cache.stat().entries == 0
    assert cache.purge() == 0
    cache.put(b"a", ENTRY)
    cache.put(b"b", ENTRY)
    listed = cache.list()
    assert len(listed) == 2
    assert cache.stat().bytes == sum(item.bytes for item in listed)
    assert cache.stat().problem is None
    assert cache.purge() == 2
    assert cache.get(b"a") is None


def test_default_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_directory() == tmp_path / "symc"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_directory() == tmp_path / ".cache" / "symc"


WRITER = """
import sys
from pathlib import Path
from symc.runtime.cache import DiskCache, Entry
cache = DiskCache(Path(sys.argv[1]), limit=60_000)
for i in range(150):
    key = f"key {i % 40}".encode()
    want = Entry(key * 100, bytes(800), {"i": i % 40})
    got = cache.get(key)
    assert got is None or got == want
    cache.put(key, want)
"""


def test_concurrent_processes_see_whole_entries(cache: DiskCache) -> None:
    command = [sys.executable, "-W", "error", "-c", WRITER, str(cache.directory)]
    running = [subprocess.Popen(command) for _ in range(4)]
    assert [process.wait(60) for process in running] == [0, 0, 0, 0]
    assert 0 < cache.stat().bytes <= 60_000


def test_no_warning_in_ordinary_use(cache: DiskCache) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cache.get(KEY)
        cache.put(KEY, ENTRY)
        cache.get(KEY)
