# SPDX-License-Identifier: Apache-2.0
"""Marks what belongs to the exported API."""

from __future__ import annotations

from typing import TypeVar

__all__ = ["monolith_export"]

_T = TypeVar("_T")


def monolith_export(obj: _T) -> _T:
  """Marks `obj` (a class or function) by its attribute `__monolith_doc` and returns it unchanged."""
  setattr(obj, "__monolith_doc", None)
  return obj
