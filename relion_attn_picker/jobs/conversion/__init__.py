"""Carrying coordinates between the formats of several programs, as ``attnpick convert`` does."""
