"""Commands of this group."""
