# SPDX-License-Identifier: Apache-2.0
"""Files of random records, with the headers that `PBDataset` reads."""

from __future__ import annotations

import os
import struct
from typing import Optional, Sequence

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)
import tensorflow as tf

from monolith.native_training.model_export._parser_args import ParserArgs, gen_records
from monolith.native_training.model_export._random_draws import Draws, Seed

__all__ = ["gen_random_data_file", "lg_header", "sort_header"]

_NO_WORD = bytes(8)


def lg_header(source: Optional[str]) -> bytes:
  """The 8 bytes before a record of a stream with `lagrangex_header`.

  A 0; the low three bytes, little endian, of Java's `hashCode` of the name of the source; four 0s.

  >>> lg_header("abc").hex()  # "abc".hashCode() is 0x17862
  '0062780100000000'
  """
  units = (source or "").encode("utf-16-le")
  value = 0
  for (unit,) in struct.iter_unpack("<H", units):
    value = (31 * value + unit) & 0xFFFFFFFF
  return b"\0" + struct.pack("<I", value)[:3] + bytes(4)


def sort_header(sort_id: bool, kafka_dump: bool, kafka_dump_prefix: bool) -> bytes:
  """The bytes before a record of a stream with an empty sort id.

  8 with a sort id alone, 8 more with `kafka_dump`, 16 more with `kafka_dump_prefix`, all 0.

  Raises:
    ValueError: there is no sort id.
  """
  if not sort_id:
    raise ValueError(
      f"sort_header: sort_id is False, kafka_dump {kafka_dump}, kafka_dump_prefix {kafka_dump_prefix}; streams without "
      "a sort id have the header of lg_header, and neither kafka_dump nor kafka_dump_prefix."
    )
  return (2 * _NO_WORD if kafka_dump_prefix else b"") + _NO_WORD + (_NO_WORD if kafka_dump else b"")


def gen_random_data_file(
  data_file_name: str,
  args: ParserArgs,
  num_batch: int = 128,
  source: Optional[str] = None,
  sort_id: bool = True,
  kafka_dump: bool = False,
  kafka_dump_prefix: bool = False,
  actions: Optional[Sequence[int]] = None,
  rng: Seed = None,
) -> str:
  """Writes a file of random records.

  Args:
    data_file_name: the path; its directory is made if needed.
    args: which records; `batch_size` of them, or one ExampleBatch of as many rows, are a batch.
    num_batch: batches, >= 1.
    source: without sort_id, the name of the source, for `lagrangex_header`.
    sort_id: whether records have a sort id, else they have a `lagrangex_header`.
    kafka_dump: as `PBDataset`'s.
    kafka_dump_prefix: as `PBDataset`'s.
    actions: what actions are drawn from; 0 to 10 by default.
    rng: a NumPy generator or a seed.

  Returns:
    `data_file_name`.

  Raises:
    ValueError: these headers do not go together, num_batch is below 1, or a feature cannot be made up.
  """
  if num_batch < 1:
    raise ValueError(f"gen_random_data_file: num_batch is {num_batch}; it must be >= 1.")
  lagrangex = not (sort_id or kafka_dump or kafka_dump_prefix)
  header = lg_header(source) if lagrangex else sort_header(sort_id, kafka_dump, kafka_dump_prefix)
  draws = Draws.of(rng)
  directory = os.path.dirname(os.fspath(data_file_name))
  if directory:
    tf.io.gfile.makedirs(directory)
  with tf.io.gfile.GFile(data_file_name, "wb") as file:
    for _ in range(num_batch):
      for record in gen_records(args, actions, draws):
        payload = record.SerializeToString()
        file.write(header + struct.pack("<Q", len(payload)) + payload)
  return data_file_name
