"""Verbs: the only writers of rows. They know no request and no template."""
