"""Developers' measurements: speed, memory and cost of detection, and of a training step.

``python scripts/benchmarks --help`` lists the commands; docs/benchmarks has the results.
"""
