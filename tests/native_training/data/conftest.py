# SPDX-License-Identifier: Apache-2.0
"""Every test of the data package begins with no slot names."""

import pytest


@pytest.fixture(autouse=True)
def _fresh_registry(fresh_slot_names):
  del fresh_slot_names
