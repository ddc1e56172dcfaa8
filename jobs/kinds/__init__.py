"""One module for each family of job kinds."""
