# SPDX-License-Identifier: Apache-2.0
"""Errors that more than one part of the library raises."""

from __future__ import annotations


class CallerError(ValueError, AssertionError):
  """A caller's mistake where existing code and tests catch `AssertionError`.

  New code catches `ValueError`. Unlike an `assert`, it is raised under `python -O` too.
  """
