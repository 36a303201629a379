"""Tables of text: CSV, in which quotes hold cells together, and TSV, in which a quote is a character."""
