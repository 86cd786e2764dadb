# SPDX-License-Identifier: Apache-2.0
"""Save and restore of a table against the machine's own sequential file bandwidth.

python -m benchmarks.tables.files [--keys 10000000] [--dim 16] [--files 2] [--rounds 3] [--directory DIR]

The table has random values and Adagrad state. Before it or behind it, in turns, as many bytes are written and read by
as many threads into as many files, in two ways: in blocks of a MiB through the page cache, and past it (O_DIRECT, where
the file system knows how to) in blocks of two MiB that lie in huge pages, as a table's own files are. The faster of the
two is the machine's bandwidth, for writing and for reading by itself.

Numerator and denominator do the same: every write ends with fsync inside the clock; before every read the files leave
the page cache; before every clock files removed earlier are gone from the disk as well, for discarding their blocks
takes it time. The restored table must give the same checksum. A virtual machine hands over memory that it has not just
used many times more slowly than memory that was freed a moment ago, so right before each clock as much memory is
touched and freed (a ballast) as the call will take. Figures are medians of the rounds.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import fcntl
import mmap
import os
import pathlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence

from benchmarks import report
from benchmarks.tables import measurement
from monolith.native_training import entry, multi_hash_table_ops
from monolith.native_training.runtime.hash_table import embedding_hash_table_pb2

import numpy as np
import tensorflow as tf

BLOCK = 1 << 20
DIRECT_BLOCK = 2 << 20  # a huge page
BATCH = 1 << 17
SAMPLE = 1 << 20  # fids in the checksum
TARGET = 0.6


def make_table(dim: int, num_files: int) -> multi_hash_table_ops.MultiHashTable:
  """A table of one slot with Adagrad and random first values, saved into `num_files` files."""
  config = embedding_hash_table_pb2.EmbeddingHashTableConfig()
  config.cuckoo.SetInParent()
  config.entry_config.segments.append(
    entry.CombineAsSegment(
      dim, entry.RandomUniformInitializer(-1, 1), entry.AdagradOptimizer(0.05, 0.1), entry.Fp32Compressor()
    )
  )
  instance = entry.HashTableConfigInstance(config, [0.05])
  return multi_hash_table_ops.MultiHashTable.from_configs({"slot": instance}, saver_parallel=num_files)


def fids_of(begin: int, end: int) -> np.ndarray:
  """Fids of ranks: odd multiples spread over all 64 bits."""
  return (np.arange(begin, end, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)).view(np.int64)


def fill(table: multi_hash_table_ops.MultiHashTable, dim: int, keys: int) -> None:
  gradients = tf.random.stateless_normal([BATCH, dim], [1, 2])
  for begin in range(0, keys, BATCH):
    fids = tf.constant(fids_of(begin, min(begin + BATCH, keys)))
    table.apply_gradients({"slot": (fids, gradients[: len(fids)])}, tf.constant(0, tf.int64))


def checksum(table: multi_hash_table_ops.MultiHashTable, keys: int) -> float:
  """Depends on every value of a sample of the entries."""
  rows = table.lookup({"slot": tf.constant(fids_of(0, min(keys, SAMPLE)))})["slot"].numpy().astype(np.float64)
  return float(((1 + np.arange(len(rows)) % 7) @ rows).sum())


def sync(paths: Sequence[pathlib.Path], forget: bool = False) -> None:
  """Has the system write files to the disk, and forget their pages if asked."""
  for path in paths:
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    if forget:
      os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


def timed(call: Callable[[], object], memory: int = 0) -> float:
  """Seconds of a call that takes about so many bytes of memory, page cache included."""
  os.sync()
  measurement.Ballast(memory).release(memory)
  begin = time.perf_counter()
  call()
  return time.perf_counter() - begin


def write_plainly(path: pathlib.Path, size: int) -> None:
  block = np.random.default_rng(7).bytes(BLOCK)
  with open(path, "wb", buffering=0) as out:
    for begin in range(0, size, BLOCK):
      out.write(block[: size - begin])
    os.fsync(out.fileno())


def read_plainly(path: pathlib.Path) -> None:
  block = bytearray(BLOCK)
  with open(path, "rb", buffering=0) as source:
    while source.readinto(block):
      pass


def huge_page() -> memoryview:
  """A block in a huge page, as far as the system has one."""
  memory = mmap.mmap(-1, 2 * DIRECT_BLOCK)
  memory.madvise(mmap.MADV_HUGEPAGE)
  view = memoryview(memory)
  begin = -np.frombuffer(view, np.uint8).ctypes.data % DIRECT_BLOCK
  view[begin : begin + DIRECT_BLOCK] = np.random.default_rng(7).bytes(DIRECT_BLOCK)
  return view[begin : begin + DIRECT_BLOCK]


def write_directly(path: pathlib.Path, size: int) -> None:
  block = huge_page()
  out = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_DIRECT)
  for _ in range(size // DIRECT_BLOCK):
    os.write(out, block)
  fcntl.fcntl(out, fcntl.F_SETFL, fcntl.fcntl(out, fcntl.F_GETFL) & ~os.O_DIRECT)
  os.write(out, block[: size % DIRECT_BLOCK])
  os.fsync(out)
  os.close(out)


def read_directly(path: pathlib.Path) -> None:
  block = huge_page()
  source = os.open(path, os.O_RDONLY | os.O_DIRECT)
  while os.readv(source, [block]) == DIRECT_BLOCK:
    pass
  os.close(source)


def seconds_of(
  write: Callable[[pathlib.Path, int], None],
  read: Callable[[pathlib.Path], None],
  directory: pathlib.Path,
  sizes: Sequence[int],
) -> tuple[float, float]:
  """Seconds to write and to read files of these sizes, a thread each; infinite where the file system refuses."""
  paths = [directory / f"plain-{i}" for i in range(len(sizes))]
  try:
    with concurrent.futures.ThreadPoolExecutor(len(sizes)) as pool:
      written = timed(lambda: list(pool.map(write, paths, sizes)), 2 * sum(sizes))
      sync(paths, forget=True)
      read_back = timed(lambda: list(pool.map(read, paths)), 2 * sum(sizes))
  except OSError:
    return float("inf"), float("inf")
  finally:
    for path in paths:
      path.unlink(missing_ok=True)
  return written, read_back


def plain_seconds(directory: pathlib.Path, sizes: Sequence[int]) -> tuple[float, float]:
  """The least seconds to write and to read files of these sizes."""
  through_cache = seconds_of(write_plainly, read_plainly, directory, sizes)
  past_it = seconds_of(write_directly, read_directly, directory, sizes)
  return min(through_cache[0], past_it[0]), min(through_cache[1], past_it[1])


def table_seconds(
  table: multi_hash_table_ops.MultiHashTable, directory: pathlib.Path, num_files: int, dim: int, keys: int
) -> tuple[float, float, list[int]]:
  """Seconds of a save and of a restore into a fresh table, and the sizes of the files.

  Raises:
    RuntimeError: the restored table has other values.
  """
  basename = str(directory / "table")

  def save() -> None:
    table.save(basename)
    sync(list(directory.glob("table*")))

  saved = timed(save, 2 * keys * (8 * dim + 64))
  paths = sorted(directory.glob("table*"))
  sync(paths, forget=True)
  fresh = make_table(dim, num_files)
  restored = timed(lambda: fresh.restore(basename), 3 * keys * (8 * dim + 64))
  if checksum(fresh, keys) != checksum(table, keys):
    raise RuntimeError("the restored table differs from the saved one.")
  sizes = [path.stat().st_size for path in paths if ".meta" not in path.name]
  for path in paths:
    path.unlink()
  return saved, restored, sizes


def parse_arguments() -> argparse.Namespace:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--keys", type=int, default=10_000_000)
  parser.add_argument("--dim", type=int, default=16)
  parser.add_argument("--files", type=int, default=2)
  parser.add_argument("--rounds", type=int, default=3)
  parser.add_argument("--directory", type=pathlib.Path, help="where to write; default the system's temporary directory")
  return parser.parse_args()


def main() -> int:
  arguments = parse_arguments()
  report.header("benchmarks.tables.files")
  tf.config.threading.set_intra_op_parallelism_threads(2)
  table = make_table(arguments.dim, arguments.files)
  fill(table, arguments.dim, arguments.keys)
  total = checksum(table, arguments.keys)
  print(f"{arguments.keys} entries of dim {arguments.dim}, {arguments.files} files, checksum {total:.9g}")
  columns = (("save", 9), ("write", 9), ("ratio", 8), ("restore", 10), ("read", 9), ("ratio", 8), ("M entries/s", 14))
  print(f"{'MB/s':8}" + "".join(f"{name:>{width}}" for name, width in columns) + f"{'MB':>8}")
  ratios = []
  sizes: list[int] = []
  for i in range(arguments.rounds):
    with tempfile.TemporaryDirectory(dir=arguments.directory) as name:
      directory = pathlib.Path(name)
      plain = plain_seconds(directory, sizes) if i % 2 else None
      saved, restored, sizes = table_seconds(table, directory, arguments.files, arguments.dim, arguments.keys)
      written, read = plain or plain_seconds(directory, sizes)
    megabytes = sum(sizes) / 1e6
    rates = f"{arguments.keys / saved / 1e6:.1f} / {arguments.keys / restored / 1e6:.1f}"
    print(
      f"{'':8}{megabytes / saved:9.0f}{megabytes / written:9.0f}{written / saved:8.2f}{megabytes / restored:10.0f}"
      f"{megabytes / read:9.0f}{read / restored:8.2f}{rates:>14}{megabytes:8.0f}",
      flush=True,
    )
    ratios.append((written / saved, read / restored))
  for name, values in zip(("save", "restore"), zip(*ratios, strict=True), strict=True):
    ratio = statistics.median(values)
    print(f"  {name:8} {ratio:.2f} of plain file bandwidth, target {TARGET}: {'met' if ratio >= TARGET else 'MISSED'}")
  return 0


if __name__ == "__main__":
  sys.exit(main())
