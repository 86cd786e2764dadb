# SPDX-License-Identifier: Apache-2.0
"""Names as a GraphDef spells them: nodes, their outputs, control inputs and colocation hints."""

from __future__ import annotations

import re
from typing import Union

__all__ = ["base_of_part", "colocated_node_name", "is_control", "node_name", "tensor_name"]

_OUTPUT = re.compile(r":\d+$")
_PART = re.compile(r"^(.+)/part_(\d+)$")


def node_name(name: str) -> str:
  """The node behind an input: `^x` and `x:1` are both of node `x`."""
  return _OUTPUT.sub("", name.removeprefix("^"))


def colocated_node_name(name: Union[str, bytes]) -> str:
  """The node that a `_class` hint names: `loc:@x` is node `x`."""
  text = name.decode() if isinstance(name, bytes) else name
  return text.removeprefix("loc:@")


def is_control(name: str) -> bool:
  """Whether an input only orders."""
  return name.startswith("^")


def tensor_name(name: str) -> str:
  """An input with its output number written out: `x` is `x:0`."""
  return name if _OUTPUT.search(name) else f"{name}:0"


def base_of_part(name: str) -> str:
  """The variable that a node `<variable>/part_<n>` is a part of; another name as it is."""
  found = _PART.match(name)
  return found.group(1) if found else name
