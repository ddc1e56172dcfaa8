"""The cost of an encode, compared with other ways to do the same."""
