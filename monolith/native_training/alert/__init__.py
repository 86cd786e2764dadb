# SPDX-License-Identifier: Apache-2.0
"""Alert settings (generated module)."""
