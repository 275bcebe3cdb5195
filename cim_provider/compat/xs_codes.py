"""Return values of xs-cim's own methods, which all have the same few."""

from __future__ import annotations

from cim_provider import jobs
from cim_provider.mapping.refusal import Kind

# 1 not supported, 2 failed, 4 invalid parameter; 3, a timeout, is none of ours.
CODES: jobs.Codes = {**dict.fromkeys(Kind, 2), Kind.NOT_SUPPORTED: 1, Kind.INVALID_PARAMETER: 4}
