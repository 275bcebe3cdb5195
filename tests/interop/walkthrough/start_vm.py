"""Start a halted VM and tell where it runs.

usage: start_vm.py NAME
"""

from __future__ import annotations

import sys

from connection import only_vm, session


def main(name: str) -> None:
    with session() as api:
        vm = only_vm(api, name)
        # Not paused, not forced. The call returns when the VM runs; a VM that is not halted is VM_BAD_POWER_STATE.
        api.VM.start(vm, False, False)
        host = api.host.get_name_label(api.VM.get_resident_on(vm))
        print(f"{name} is {api.VM.get_power_state(vm)} on {host}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
