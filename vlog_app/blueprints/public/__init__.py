"""The public surface: pages, media, JSON."""
