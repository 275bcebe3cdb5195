"""Implementations of methods: read parameters into values, and turn values into Xen-API calls. Views are not known
here."""
