"""The screens of simulated machines, and the RFB protocol that shows them."""
