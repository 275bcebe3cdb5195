"""What is around the records: the parts of the server that messages ask for what no record tells.

Rule 1: None is something that this process does not have: measurements, a disk of its own, a way to other servers, a
        listener with TLS. What a message answers then is for its handler to say.
Rule 2: whoever composes a server makes all of it before the dispatcher, but for `agents` and `nbd_port`: those are of
        listeners, and None until every listener is open.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from xenapi_core.api.agents import Agents
from xenapi_core.api.audit import AuditLog
from xenapi_core.api.balancer import Balancer
from xenapi_core.api.blobs import BlobData
from xenapi_core.api.certificates import ShownCertificate
from xenapi_core.api.client_programs import ClientPrograms
from xenapi_core.api.history import History
from xenapi_core.api.member_certificates import Identities
from xenapi_core.api.member_disks import MemberDisks


@dataclass(slots=True)
class Surroundings:
    """The parts of a server beside its records, for handlers; one object for each dispatcher.

    audit         who called what that only some roles may call
    programs      the client programs that were seen
    history       what was measured
    blobs         the data of binary objects
    member_disks  what lies on the disks of the pool's members
    balancer      asks the workload balancing server
    identities    the certificates that hosts show to each other
    certificate   what listeners with TLS show
    agents        the endpoints of hosts
    nbd_port      where disks can be read with NBD
    """

    audit: AuditLog
    programs: ClientPrograms = field(default_factory=ClientPrograms)
    history: History | None = None
    blobs: BlobData | None = None
    member_disks: MemberDisks | None = None
    balancer: Balancer | None = None
    identities: Identities | None = None
    certificate: ShownCertificate | None = None
    agents: Agents | None = None
    nbd_port: int | None = None
