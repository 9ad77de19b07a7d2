"""Stage two's training: batches, objective, the Accelerate loop, checkpoints, sharding.

Names are imported from its modules: what serves needs the order of candidates only, not the loop.
"""
