"""Verification: an exported file answers as the adapter does, shown on records that it was not trained on."""
