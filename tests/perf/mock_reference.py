"""The comparison partner of the enumerate benchmark: pywbem_mock, in process, holding the same instances.

usage: mock_reference.py WBEM_URL USER PASSWORD   prints JSON {instances, seconds, cpu} of one EnumerateInstances.
"""

from __future__ import annotations

import json
import sys
import time

import pywbem
import pywbem_mock

NAMESPACE = "root/cimv2"


def main() -> None:
    url, user, password = sys.argv[1:4]
    real = pywbem.WBEMConnection(url, (user, password), default_namespace=NAMESPACE, timeout=300)
    instances = real.EnumerateInstances("Xen_ComputerSystem")
    mock = pywbem_mock.FakedWBEMConnection(default_namespace=NAMESPACE)
    mock.add_cimobjects(real.EnumerateQualifiers())
    chain = []
    name: str | None = "Xen_ComputerSystem"
    while name:
        cls = real.GetClass(name, LocalOnly=True, IncludeQualifiers=True, IncludeClassOrigin=True)
        chain.append(cls)
        name = cls.superclass
    for cls in reversed(chain):
        cls.methods.clear()  # methods name parameter classes the mock would want too
        mock.add_cimobjects([cls])
    mock.add_cimobjects(instances)
    mock.EnumerateInstances("Xen_ComputerSystem")
    wall, cpu = time.perf_counter(), time.process_time()
    found = mock.EnumerateInstances("Xen_ComputerSystem")
    print(
        json.dumps({"instances": len(found), "seconds": time.perf_counter() - wall, "cpu": time.process_time() - cpu})
    )


if __name__ == "__main__":
    main()
