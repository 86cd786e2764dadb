# SPDX-License-Identifier: Apache-2.0
"""Every test of the data package begins with no slot names."""

import pytest
from slot_names import fresh_slot_names  # noqa: F401  (a fixture)


@pytest.fixture(autouse=True)
def _fresh_registry(fresh_slot_names):  # noqa: F811
  del fresh_slot_names
