"""What a job is, and how one is carried out. Knows no Flask and no SQL."""
