"""The claims ledger: what a tree says of the literature's claims.

cells: which nodes and tasks a claim is about · items: what they say, item by item · estimates: one effect for each test
· beside: tests that rest on another table of the trace · verdicts: what the effects say of the claim · rows: in words ·
table: all of it.
"""
