"""What people see: a page for learners, one for the team, in English and Vietnamese."""
