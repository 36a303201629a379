"""The sections of a run's page, one a file: what is shown of the folder, and what is said where it lacks something."""
