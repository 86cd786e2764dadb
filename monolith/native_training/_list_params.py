# SPDX-License-Identifier: Apache-2.0
"""Arguments that are one value for all layers or a list with one value each."""

from __future__ import annotations

import copy
from typing import Any, Callable, List, Optional

__all__ = ["check_list", "extend_as_list"]


def extend_as_list(x: Any, n: int) -> List[Any]:
  """`x` as a list of at least `n` items.

  A list or tuple is padded with None up to `n` (a longer one is kept). Anything else is repeated: `x` itself first,
  then deep copies where they can be made.
  """
  if isinstance(x, (list, tuple)):
    return [*x, *[None] * (n - len(x))]
  try:
    return [x, *(copy.deepcopy(x) for _ in range(n - 1))]
  except (TypeError, NotImplementedError, copy.Error):
    return [x] * n


def check_list(
  candidate: Optional[List[Any]],
  length_checker: Callable[[int], bool],
  could_be_none: bool = False,
) -> Optional[List[Any]]:
  """Returns `candidate` if it is a list of an accepted length.

  Args:
    candidate: the list.
    length_checker: tells whether a length is accepted.
    could_be_none: whether None is accepted too.

  Raises:
    TypeError: not a list.
    ValueError: its length is not accepted.
  """
  if candidate is None:
    if could_be_none:
      return None
    raise TypeError("ListChecker cannot accept None candidate")
  if not isinstance(candidate, list):
    raise TypeError(f"ListChecker got candidate in the wrong type[{type(candidate).__name__}]")
  if not length_checker(len(candidate)):
    raise ValueError(f"ListChecker got candidate beyonds the range: length {len(candidate)}")
  return candidate
