# SPDX-License-Identifier: Apache-2.0
"""What a record is, how it is compressed, which columns are dropped."""

from __future__ import annotations

import enum
from typing import Optional, Union

from monolith.native_training import _flags

__all__ = ["CompressType", "FeaturePruningType", "PbType", "input_type_or_flag"]


class PbType(enum.Enum):
  """The messages that a stream holds, or a dataset yields."""

  INSTANCE = 1
  EXAMPLEBATCH = 2
  EXAMPLE = 3
  PLAINTEXT = 4

  def to_name(self) -> str:
    """The name in lower case, as ops and flags spell it.

    >>> PbType.EXAMPLEBATCH.to_name()
    'examplebatch'
    """
    return self.name.lower()

  @classmethod
  def from_name(cls, name: str) -> PbType:
    """The type of a name; `example_batch` is `examplebatch`.

    Raises:
      ValueError: there is no such type.
    """
    for member in cls:
      if member.to_name() == name.lower().replace("_", ""):
        return member
    known = ", ".join(member.to_name() for member in cls)
    raise ValueError(f"{name!r} is no type of record; use one of {known}.")


class FeaturePruningType(enum.IntEnum):
  """Which columns reading drops."""

  AS_IS = 0
  PRUNING_FEATURE = 1  # ordinary columns
  PRUNING_RAW_FEATURE = 2  # raw columns


class CompressType(enum.IntEnum):
  """How a file is compressed. UNKNOW is as good as NO, and lets a flag decide."""

  UNKNOW = 0
  NO = 1
  SNAPPY = 2
  ZSTD = 3
  ZLIB = 4
  GZIP = 5


def input_type_or_flag(input_pb_type: Optional[Union[PbType, str]]) -> PbType:
  """The argument; without one the flag `data_type`, and without that INSTANCE."""
  if input_pb_type is None:
    input_pb_type = _flags.flag_value("data_type", None) or PbType.INSTANCE
  return PbType.from_name(input_pb_type) if isinstance(input_pb_type, str) else input_pb_type
