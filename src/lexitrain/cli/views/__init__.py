"""How results look: tables, bars and sentences, one file a command."""
