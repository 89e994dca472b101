"""From records to what a stage gave or took: frames in, small results out.

pairing: which items may be compared · effects: the ledger · scores: what each node scored · flips: item by item ·
origin: which stage of a path gave a capability · factorial: two stages crossed · designs: what is missing for that ·
causes: why an item flipped · anatomy: a difference split by cause ·
sentences: verdicts in words · published: aggregates of the literature, unpaired.
"""
