# SPDX-License-Identifier: Apache-2.0
"""Programs that show how the package is used; each of them is run by a test."""
