"""One comparison of trainers on the same work: `python -m benchmarks.compare`.

Every competitor trains the same model from the same weights on the same samples, each in a process of its own. The
processes take turns of a few steps, so that whatever the machine does strikes all of them alike; while one steps, the
others wait for a line on a pipe. What is compared is time, memory and the losses that come out.
"""
