"""What the pages say is held against what it is about: saved results, shipped recipes, the page that was translated."""
