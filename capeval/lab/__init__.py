"""The lab: a synthetic world, from which every stage of a tree of tiny models is trained and tested with known truth.

Plain Python: no torch. `corpora.py` names what the training stages read, `items.py` what the suites ask.
"""
