# SPDX-License-Identifier: Apache-2.0
"""What the ops on records share: types of records, lists of actions, operands, seeds."""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Optional, Sequence, Union

import monolith  # noqa: F401  (selects Keras 2 before TensorFlow is imported)
import tensorflow as tf

from idl.matrix.proto import line_id_pb2
from monolith.native_training.data._pb_type import PbType

__all__ = ["Operand", "RecordType", "actions_of", "fid_bits", "line_id_operands", "operands_of", "rates_text", "seeds",
           "type_name"]  # fmt: skip

RecordType = Union[str, PbType]
Operand = Union[int, float, str, bytes, Sequence[int], Sequence[float], Sequence[str], Sequence[bytes]]
_TWO_63, _TWO_64 = 1 << 63, 1 << 64


def type_name(variant_type: RecordType) -> str:
  """The name of a type as ops spell it; they refuse those that they do not take."""
  return variant_type.to_name() if isinstance(variant_type, PbType) else str(variant_type)


def fid_bits(fids: Optional[Iterable[int]], name: str) -> List[int]:
  """Fids in [0, 2^64), or already signed, as int64 with the same bits."""
  bits = [int(fid) for fid in (fids or ())]
  for fid in bits:
    if not -_TWO_63 <= fid < _TWO_64:
      raise ValueError(f"{name} has {fid}; a fid has 64 bits.")
  return [fid - _TWO_64 if fid >= _TWO_63 else fid for fid in bits]


def actions_of(actions: Union[str, Iterable[int], None], name: str) -> List[int]:
  """Actions as a list, from numbers or from text with commas between them."""
  if actions is None:
    return []
  parts: Iterable[Any] = [part for part in actions.split(",") if part.strip()] if isinstance(actions, str) else actions
  try:
    return [int(part) for part in parts]
  except ValueError:
    raise ValueError(f"{name} is {actions!r}; write integers, with commas between them.") from None


def rates_text(rates: Union[str, Dict[int, float], None]) -> str:
  """`action:rate,...` of a text or of a dict."""
  if isinstance(rates, dict):
    return ",".join(f"{key}:{rate!r}" for key, rate in rates.items())
  return rates or ""


def operands_of(kind: str, operand: Optional[Operand], operand_filepath: Optional[str]) -> Dict[str, Any]:
  """Attributes of an op for operands of `kind`: int, float or string.

  Raises:
    ValueError: operand and operand_filepath are both given, neither is, or an operand is of another kind.
  """
  if (operand is None) == (not operand_filepath):
    raise ValueError(f"operand is {operand!r} and operand_filepath is {operand_filepath!r}; give exactly one of them.")
  if operand is None:
    return {"operand_filepath": operand_filepath}
  values = [operand] if isinstance(operand, (int, float, str, bytes)) else list(operand)
  takes = {"int": (int,), "float": (int, float), "string": (str, bytes)}[kind]
  for value in values:
    if not isinstance(value, takes) and not (hasattr(value, "item") and isinstance(value.item(), takes)):
      raise ValueError(f"operand {value!r} is no {kind}, which the values are that it is compared with.")
  if kind == "int":
    values = fid_bits(values, "operand")
  return {f"{kind}_operand": values}


def line_id_operands(
  field_name: str, operand: Optional[Operand], operand_filepath: Optional[str] = None
) -> Dict[str, Any]:
  """The same for what is compared with a field of LineId.

  Raises:
    ValueError: also where there is no such field.
  """
  field = line_id_pb2.LineId.DESCRIPTOR.fields_by_name.get(field_name)
  if field is None:
    known = ", ".join(line_id_pb2.LineId.DESCRIPTOR.fields_by_name)
    raise ValueError(f"field_name is {field_name!r}, which is not in line id; it has {known}.")
  kind = {field.CPPTYPE_FLOAT: "float", field.CPPTYPE_STRING: "string"}.get(field.cpp_type, "int")
  return operands_of(kind, operand, operand_filepath)


def seeds(seed: Optional[int]) -> Dict[str, int]:
  """The two seeds of an op, as TensorFlow's random ops take them from `tf.random.set_seed` and their own seed."""
  first, second = tf.compat.v1.random.get_seed(seed)
  return {"seed": first or 0, "seed2": second or 0}
