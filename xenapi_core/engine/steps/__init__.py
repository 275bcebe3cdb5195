"""Building blocks of plans: steps, changes of records, and rules that several plans check. No plan is known here."""
