# SPDX-License-Identifier: Apache-2.0
"""Names that existing code may ask a module for, and that it does not have: the error says what to use instead."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["refusing"]


def refusing(module: str, refused: Mapping[str, str]) -> Callable[[str], Any]:
  """The `__getattr__` of a module.

  Args:
    module: its `__name__`.
    refused: {name: why it is not there and what to use}, as the error says it behind the name.

  Returns:
    A function that raises AttributeError for every name.
  """

  def module_getattr(name: str) -> Any:
    if name in refused:
      raise AttributeError(f"{module.rpartition('.')[2]}.{name} {refused[name]}")
    raise AttributeError(f"module {module!r} has no attribute {name!r}")

  return module_getattr
