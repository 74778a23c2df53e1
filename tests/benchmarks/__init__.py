"""How fast the toolkit is, side by side with what people would use instead.

`uv run python -m tests.benchmarks` measures and writes a table and a picture. Nothing here is
asserted: how long something takes depends on the machine, and on who else uses it.
"""
