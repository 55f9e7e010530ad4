"""Networks of one shape as one computation: every array has the networks as its first axis.

Nothing here is random and nothing here loops over steps: `engines.jax` compiles these functions.
"""
