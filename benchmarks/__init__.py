# SPDX-License-Identifier: Apache-2.0
"""Measurements. Every script prints its command, the machine, and a checksum of what it computed."""
