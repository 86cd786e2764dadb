# SPDX-License-Identifier: Apache-2.0
"""Where the example's own files are."""

import os

_HERE = os.path.dirname(os.path.abspath(__file__))

BUNDLED_DATA = os.path.join(_HERE, "data", "ml-latest-small")
# What must be on a Python process' path to import this package.
IMPORT_ROOT = os.path.dirname(os.path.dirname(_HERE))
