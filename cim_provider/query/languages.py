"""The query languages of this server, by the names that clients use."""

from __future__ import annotations

from cim_provider.query import cql, fql, wql
from cim_provider.query.ast import Condition, Query
from cim_provider.schema.objects import QUERY_LANGUAGE_NOT_SUPPORTED, CimError

LANGUAGES = {"WQL": wql.parse, "DMTF:CQL": cql.parse, "CIM:CQL": cql.parse, "CQL": cql.parse}


def parse(language: str, text: str) -> Query:
    """CimError QUERY_LANGUAGE_NOT_SUPPORTED, INVALID_QUERY, QUERY_FEATURE_NOT_SUPPORTED."""
    parser = LANGUAGES.get(language.strip().upper())
    if parser is None:
        raise CimError(QUERY_LANGUAGE_NOT_SUPPORTED, f"the query languages are {', '.join(LANGUAGES)}")
    return parser(text)


def parse_filter(language: str, text: str) -> Condition:
    """A filter of an enumeration. CimError as `parse`."""
    if language.strip().upper() != fql.LANGUAGE:
        raise CimError(QUERY_LANGUAGE_NOT_SUPPORTED, f"the language of filters is {fql.LANGUAGE}")
    return fql.parse(text)
