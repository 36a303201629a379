"""LexiTrain against Unsloth on the same work and the same card: `python -m benchmarks.against --work DIR`.

Two halves, each a process in a virtual environment of its own, since they need other versions of the same packages; and
one scorer, one comparison for both. What runs in the rival's environment imports nothing of LexiTrain, and nothing but
the standard library at its top: `unsloth_half` and `rival_tokens`, and `__main__` with what that imports.

A part that is done is written at once, and copied to the folder that `--keep` names: a second call goes on with the
parts that are missing. A part that cannot run says why, and the others go on.
"""
