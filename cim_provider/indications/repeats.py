"""RepeatNotificationPolicy of subscriptions: limits how many indications about the same thing are sent.

Theory of operation
1. Two indications are about the same thing if they are of one class and have the same source (Event.subject). For each
   subscription and thing, what was counted is kept until its interval and its gap are over.
2. Suppress: the first `count` in an interval are sent. Delay: every `count`-th in an interval is sent, and then nothing
   during the gap. An interval begins with an indication. (CIM_AbstractIndicationSubscription.)
3. What is kept is bounded; what was counted longest ago is forgotten first, and then counts as new.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from cim_provider.schema.objects import INVALID_PARAMETER, CimError, Path

NONE, SUPPRESS, DELAY = 2, 3, 4  # RepeatNotificationPolicy
LINES = ("RepeatNotificationCount", "RepeatNotificationInterval", "RepeatNotificationGap")
MAX_KEPT = 100_000


@dataclass(frozen=True, slots=True)
class Repetition:
    """What a subscription says. `interval` and `gap` in seconds."""

    policy: int
    count: int
    interval: int
    gap: int


def repetition_of(values: Mapping[str, Any]) -> Repetition | None:
    """The policy in the properties of a subscription; None if everything is sent.

    CimError INVALID_PARAMETER for a policy without the numbers it needs.
    """
    policy = values.get("RepeatNotificationPolicy") or NONE
    if policy == NONE:
        return None
    needed = LINES if policy == DELAY else LINES[:2]
    for name in needed:
        if not values.get(name):
            raise CimError(INVALID_PARAMETER, f"RepeatNotificationPolicy {policy} needs {name}")
    return Repetition(policy, values[LINES[0]], values[LINES[1]], values.get(LINES[2]) or 0)


@dataclass(slots=True)
class _Count:
    began: float
    number: int = 0
    quiet_until: float = 0.0


class Repeats:
    """The counters of all subscriptions."""

    def __init__(self, kept: int = MAX_KEPT) -> None:
        self._counts: OrderedDict[tuple[Path, Hashable], _Count] = OrderedDict()
        self._kept = kept

    def __len__(self) -> int:
        return len(self._counts)

    def admits(self, subscription: Path, rule: Repetition, subject: Hashable, now: float) -> bool:
        """Whether to send one more indication about `subject`; `now` in seconds of a clock that never goes back."""
        key = (subscription, subject)
        count = self._counts.get(key)
        if count is not None and now < count.quiet_until:
            return False
        if count is None or now - count.began >= rule.interval or count.quiet_until:
            count = self._counts[key] = _Count(now)
            self._counts.move_to_end(key)
            while len(self._counts) > self._kept:
                self._counts.popitem(last=False)
        count.number += 1
        if rule.policy == SUPPRESS:
            return count.number <= rule.count
        if count.number < rule.count:
            return False
        count.quiet_until = now + rule.gap
        return True

    def keep(self, subscriptions: Collection[Path]) -> None:
        """Forget what was counted for all others."""
        for key in [key for key in self._counts if key[0] not in subscriptions]:
            del self._counts[key]
