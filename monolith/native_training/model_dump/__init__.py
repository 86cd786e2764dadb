# SPDX-License-Identifier: Apache-2.0
"""Models dumped to files."""
