"""List all VMs with their states, memory and hosts.

usage: list_vms.py
"""

from __future__ import annotations

from connection import is_guest, session


def main() -> None:
    with session() as api:
        # One call reads all records; asking VM by VM takes a round trip each.
        hosts = {ref: record["name_label"] for ref, record in api.host.get_all_records().items()}
        guests = [record for record in api.VM.get_all_records().values() if is_guest(record)]
    for vm in sorted(guests, key=lambda vm: vm["name_label"]):
        memory = int(vm["memory_dynamic_max"]) >> 20  # integers travel as text
        where = hosts.get(vm["resident_on"], "-")  # OpaqueRef:NULL while it runs nowhere
        print(f"{vm['name_label']:20} {vm['power_state']:10} {memory:7} MiB  {where}")


if __name__ == "__main__":
    main()
