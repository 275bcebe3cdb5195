"""Bring the simulated hypervisors up to what the records say: at the first start, and after a restart.

Rule 1: the simulator stands for hypervisors that went on running while the manager was away. So every VM whose record
        says Running or Paused is given to its host as a machine that exists already; nothing boots.
Rule 2: what was under way when the manager died is not adopted: a VM that was being started has no domain yet, and
        engine.recover() unwinds its claim.
"""
