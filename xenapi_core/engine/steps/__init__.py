"""What plans are made of: steps, what they leave in records, rules that several plans ask. No plan is known here."""
