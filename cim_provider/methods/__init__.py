"""What methods do: parameters read into values, and values made into calls of the Xen-API. Views are not known here."""
