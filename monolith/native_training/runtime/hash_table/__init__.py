# SPDX-License-Identifier: Apache-2.0
"""Table configs and dump records (generated modules)."""
