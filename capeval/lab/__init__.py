"""The lab: a synthetic world, from which every stage of a tree of tiny models is trained and tested with known truth.

    python -m capeval.lab                 # a page of every corpus, an item of every family

Plain Python: no torch. `corpora.py` names what the training stages read, `items.py` what the suites ask.
"""
