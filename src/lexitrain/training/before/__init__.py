"""What is looked at before the first step of a new run, so that no hours are lost to what was wrong from the start."""
