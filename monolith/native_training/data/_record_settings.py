# SPDX-License-Identifier: Apache-2.0
"""Settings of ops on records, as users write them and as ops take them: fids, actions, rates, operands."""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple, Union

from idl.matrix.proto import line_id_pb2
from monolith.native_training.data._pb_type import PbType

__all__ = ["Operand", "RecordType", "actions_of", "fid_bits", "label_tasks", "line_id_operands", "operands_of",
           "rates_text", "reweights", "type_name"]  # fmt: skip

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


def label_tasks(config: str) -> List[Tuple[List[int], List[int], float]]:
  """Positive actions, negative actions and sample rate of every task of `pos,..:neg,..:rate;..`.

  Raises:
    ValueError: the text cannot be read, a task has no positive action, or a rate is not in [0, 1].

  >>> label_tasks("1,2:3:1.0;4::0.5")
  [([1, 2], [3], 1.0), ([4], [], 0.5)]
  """
  tasks = []
  for part in config.rstrip("; ").split(";"):
    fields = part.split(":")
    if len(fields) != 3:
      raise ValueError(f"config is {config!r}: {part!r} is not pos_actions:neg_actions:sample_rate.")
    pos_actions, neg_actions = (actions_of(field, "config") for field in fields[:2])
    rate = float(fields[2])
    if not pos_actions or not 0 <= rate <= 1:
      raise ValueError(f"config is {config!r}: {part!r} needs a positive action, and a rate in [0, 1].")
    tasks.append((pos_actions, neg_actions, rate))
  return tasks


def reweights(reweight: Optional[str]) -> Tuple[List[int], List[int], List[int]]:
  """Actions, weights and labels of `action:weight:label,..`.

  Raises:
    ValueError: the text cannot be read.

  >>> reweights("2:3:-1,4:1:1")
  ([2, 4], [3, 1], [-1, 1])
  """
  parts = [part.split(":") for part in (reweight or "").split(",") if part.strip()]
  try:
    found = [(int(action), int(weight), int(label)) for action, weight, label in parts]
  except ValueError:
    raise ValueError(f"reweight is {reweight!r}; write action:weight:label,.. with integers.") from None
  return [a for a, _, _ in found], [w for _, w, _ in found], [b for _, _, b in found]


def operands_of(kind: str, operand: Optional[Operand], operand_filepath: Optional[str]) -> Dict[str, Any]:
  """Attributes of an op for operands of `kind`: int, float or string.

  Raises:
    ValueError: operand and operand_filepath are both given, neither is, or an operand is of another kind.
  """
  if (operand is None) == (not operand_filepath):
    raise ValueError(f"operand is {operand!r} and operand_filepath is {operand_filepath!r}; give exactly one of them.")
  if operand is None:
    return {"operand_filepath": operand_filepath}
  values: List[Any] = [operand] if isinstance(operand, (int, float, str, bytes)) else list(operand)
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
