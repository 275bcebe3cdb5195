"""Replaces the database of a state directory by a dump, before a server opens it.

Rule 1: the records of the dump take the place of all others in one transaction. They keep their references, so clients
        that knew them know them again; revisions go on above every one shown before.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from xenapi_core.model.schema import Schema
from xenapi_core.store import database
from xenapi_core.store.dump import decode_file, kept_records
from xenapi_core.store.failure import StoreError
from xenapi_core.store.rows import Rows


def replace_records(directory: Path, schema: Schema, dump: bytes) -> None:
    """Make the records in `directory` those of a dump with its head. Blocks. DumpError; StoreError if the directory
    cannot be used, as open_store says."""
    found, encode = decode_file(schema, dump).store, Rows(schema).encode
    place = database.Database(directory)
    try:
        bound = place.meta().get(database.REVISION)
        revision = bound if type(bound) is int and bound > 0 else 1
        rows = [
            database.Row(version.ref, version.cls, encode(version.cls, version.values), revision, revision)
            for version in kept_records(schema, found)
        ]
        place.replace(rows, {database.REVISION: revision})
    except sqlite3.Error as error:
        raise StoreError(f"{place.path} cannot be written: {error}") from error
    finally:
        place.close()
