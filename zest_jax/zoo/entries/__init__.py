"""Kinds of models in a zoo: each entry says from which others it is made, and makes it."""
