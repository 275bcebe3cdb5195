"""Failures of the store itself: never a client's fault, reported to clients as INTERNAL_ERROR.

Each carries one sentence for the operator; none of them names a value of a record.
"""

from __future__ import annotations


class StoreError(Exception):
    """The store failed: a state directory that cannot be used, a journal that does not answer."""


class ReadOnlyError(StoreError):
    """The journal failed or was closed, so nothing can be written any more; everything can still be read."""
