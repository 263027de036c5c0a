"""``python -m benchmarks``: what an audit costs."""

from benchmarks.cost import main

main()
