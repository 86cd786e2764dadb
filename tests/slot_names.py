# SPDX-License-Identifier: Apache-2.0
"""Names of slots are the process's, as a model's graphs of training and export must agree on them.

Tests keep theirs apart: `conftest.py` gives each module, and who asks for `fresh_slot_names`, a registry of its own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from monolith.native_training.data import utils


@contextlib.contextmanager
def fresh() -> Iterator[None]:
  """No names, and `slot_<n>` for a number, whatever the process did before; afterwards all is as it was."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(utils, "_TOB_ENV", False)
    patch.setattr(utils, "_NAME_TO_SLOT", {})
    patch.setattr(utils, "_USED_SLOTS", set())
    yield
