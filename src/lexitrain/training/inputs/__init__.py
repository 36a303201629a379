"""What a run is trained from: kept beside it, and found again where the command's own paths are gone."""
