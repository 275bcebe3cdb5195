"""The screens of simulated machines, and the protocol in which they are seen."""
