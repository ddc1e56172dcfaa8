"""Pure media: files in, files out. Knows nothing of jobs, databases or HTTP."""
