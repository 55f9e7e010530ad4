"""The ledger of claims: sentences that people learn about gradient flow, each tried by an experiment.

Nothing here knows its verdict beforehand: an experiment gives figures with intervals, and a pure function of them
(`Claim.judge`) says whether the sentence holds.
"""
