"""From records to what a stage gave or took: frames in, small results out.

| to read in this order       | answers                                                                            |
|-----------------------------|------------------------------------------------------------------------------------|
| `pairing` `summaries`       | which items may be compared; what several settings of a task amount to              |
| `questions` `effects` `gaps`| the ledger: every contrast on every task and setting                                |
| `confounds` `seeds` `grades`| what else differs; what training runs agree on; how strong the evidence is          |
| `scores` `calibration` `abstention` | what each node scored, how sure it is, what it answers at all               |
| `flips` `causes` `anatomy`  | items that changed, why, and a difference split by that                             |
| `paths` `origin`            | which stage of a path gave a capability (`origin_steps`, `origin_words`)            |
| `designs` `factorial`       | 2 × 2 designs: main effects and interaction (`factorial_words`)                     |
| `series` `curves` `scaling` | scores against size, and where they begin to rise                                   |
| `elicitation` `guessing` `unlock` | was it there before, when the parent is asked otherwise?                      |
| `readings` `reasoning`      | the child's chains of thought, read by the parent                                   |
| `claims/`                   | the literature's claims                                                             |
| `planning`                  | what is missing to be sure                                                          |
| `sentences` `published`     | verdicts in words; aggregates of the literature, unpaired                           |
"""
