# SPDX-License-Identifier: Apache-2.0
"""The base of registered models."""

from __future__ import annotations

import abc

from monolith.core import hyperparams


class SingleTaskModelParams(abc.ABC):
  """A named, complete set of Params for one task; see `model_registry`."""

  @abc.abstractmethod
  def task(self) -> hyperparams.InstantiableParams:
    """Returns the task's Params, ready to be instantiated."""
