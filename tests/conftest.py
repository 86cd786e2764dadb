# SPDX-License-Identifier: Apache-2.0
"""What all tests have in common."""

from __future__ import annotations

import pytest
import slot_names


@pytest.fixture(scope="module", autouse=True)
def _slot_names_of_the_module():
  """Names of slots leave no trace in other modules."""
  with slot_names.fresh():
    yield


@pytest.fixture
def fresh_slot_names():
  """Names of slots leave no trace in other tests."""
  with slot_names.fresh():
    yield
