"""Find VMs by name, and tell what they are made of.

usage: find_vm.py NAME
"""

from __future__ import annotations

import sys

from connection import session


def main(name: str) -> None:
    with session() as api:
        found = api.VM.get_by_name_label(name)
        if not found:
            sys.exit(f"no VM is called {name}")
        for ref in found:
            vm = api.VM.get_record(ref)
            print(f"{vm['name_label']}: {vm['power_state']}, {vm['VCPUs_max']} VCPUs")
            print(f"  uuid    {vm['uuid']}")
            for vif in map(api.VIF.get_record, vm["VIFs"]):
                print(f"  NIC     {vif['device']}: {vif['MAC']} in {api.network.get_name_label(vif['network'])}")
            for vbd in map(api.VBD.get_record, vm["VBDs"]):
                if vbd["empty"]:  # a drive without a medium has no VDI
                    print(f"  {vbd['type']:7} {vbd['userdevice']}: empty")
                else:
                    size = int(api.VDI.get_virtual_size(vbd["VDI"])) >> 30
                    print(f"  {vbd['type']:7} {vbd['userdevice']}: {api.VDI.get_name_label(vbd['VDI'])}, {size} GiB")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
