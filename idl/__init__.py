# SPDX-License-Identifier: Apache-2.0
"""Protocol buffers under the import paths that existing model code uses."""
