"""The command line: one file a command, which parses its options, calls the library, and shows what came back."""
