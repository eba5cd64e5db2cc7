"""The published one-shot systems that this project is compared with, as rows of one table.

Each is a module that builds a network, says what a step of its training loses, and finds the
landmarks of an image. Data, the frozen encoder, augmentation and scoring are those of the
package, which knows nothing of this folder. ``python scripts/rivals --help`` lists them,
docs/benchmarks/rivals.md has the results.
"""
