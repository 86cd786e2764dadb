# SPDX-License-Identifier: Apache-2.0
"""Names of slots are the process's; tests that depend on them begin with none registered and the default spelling."""

import pytest

from monolith.native_training.data import utils


@pytest.fixture
def fresh_slot_names(monkeypatch):
  """No names, and `slot_<n>` for a number, whatever other tests of the process did."""
  monkeypatch.setattr(utils, "_TOB_ENV", False)
  monkeypatch.setattr(utils, "_NAME_TO_SLOT", {})
  monkeypatch.setattr(utils, "_USED_SLOTS", set())
