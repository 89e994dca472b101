"""Statistics on arrays: what every number with an interval in capeval rests on. numpy and scipy.special, nothing else.

| module            | answers                                                                                     |
|-------------------|---------------------------------------------------------------------------------------------|
| `rates`           | the interval of one score, and of the difference of two published rates                    |
| `standard_errors` | the error of a mean: independent, clustered or stratified items                             |
| `discordant`      | exact McNemar and Tango's interval: two models, right or wrong on the same items            |
| `error_intervals` | intervals that know about clusters and strata                                               |
| `permutation`     | the permutation test for clustered items                                                    |
| `paired`          | the paired difference of two models, by the rules that choose among all of these            |
| `independent`     | sums over sets of other items: a gap to a shifted benchmark, a mean over tasks              |
| `one_sided`       | p against any threshold, from an interval that can be had at every level                    |
| `multiplicity`    | Holm and Benjamini-Hochberg                                                                 |
| `calibration`     | Brier score and adaptive calibration error, with what luck alone gives                      |
| `trend`           | what ten times the size adds, item by item                                                 |
| `change_point`    | whether a curve over sizes bends, and at which size it begins to rise                       |
| `power`           | what this many items could have shown; how many items and training runs an effect takes     |
| `selective`       | risk against coverage, for whoever may abstain                                              |
| `seeds`           | effects over training runs, and how much of their spread is the run's own                   |
| `factorial`       | two stages crossed: what each does, and both together                                       |
| `path`            | along a path of models: who adds the most, and what is left of it                           |
| `answers`         | gained, lost, equivalent or can't tell                                                      |
| `guessing`        | how often luck alone is right in any of several tries                                       |
| `unlock`          | whether a parent, asked otherwise, solves what its child newly solves                       |
| `parting`         | where two readings of one chain part                                                        |
| `pass_at_k`       | one item's chance of a right answer among k samples                                         |
| `gates`           | pass, fail or inconclusive                                                                  |

Methods, sources and measured coverage: docs/statistics.md. The measurement: `python -m benchmarks.validate_stats`.
"""
