"""Is the method right where the truth is known? Effects of known size are planted, and attribution is asked for them.

    python -m benchmarks.planted            # all tables of docs/validation.md and its figure: minutes on two cores
    python -m benchmarks.planted --quick    # a look: fewer repetitions, so wider Monte-Carlo intervals

| module      | holds                                                                                                |
|-------------|------------------------------------------------------------------------------------------------------|
| `items`     | what is asked: clusters, flips, abilities against difficulties; arrays that the truth is known of    |
| `asked`     | arrays → records → the ledger, many repetitions at once                                              |
| `shares`    | a measured share with its Monte-Carlo interval, its target, and whether that is met                  |
| `grid`      | coverage, false alarms and power over n, discordance and number of clusters                          |
| `trees`     | trees of models: false attributions under the global null, false finds among effects                 |
| `recorded`  | flips planted in the recorded answers of BBH and TAT-QA                                              |
| `format`    | changes that are no capability: extraction, truncation, missing answers                              |
| `gates`     | how often a gate fails, passes or can't tell                                                         |
| `origins`   | whether the stage is named that gave a capability                                                    |
| `unlocks`   | whether what a child newly solves was there before: errors of the answer                             |
| `lab`       | facts planted in the lab's corpora, from stored traces                                               |
| `figure`    | the figure of docs/validation.md                                                                     |
"""
