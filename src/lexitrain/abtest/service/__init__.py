"""The web service of a test: learners' requests and ratings in, a page for learners and one for the team out."""
