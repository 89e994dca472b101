"""How often a model that only guesses would be right in any of several tries, item by item.

>>> import pandas as pd
>>> given = pd.DataFrame({"item": ["a", "a", "b"], "extracted": ["3", "4", "3"], "score": [1.0, 0.0, 0.0],
...                       "response": "so", "finish": "stop", "cluster": ""})
>>> chance_of_guessing(given, given, TaskSpec(name="sums", capability="cot", metric="exact_match")).tolist()
[0.0, 1.0]
"""

from __future__ import annotations

import pandas as pd

from capeval.core import TaskSpec
from capeval.stats.guessing import chance_by_exchange, chance_of_any


def chance_of_guessing(tries: pd.DataFrame, records: pd.DataFrame, spec: TaskSpec) -> pd.Series:
    """By item, the chance that guessing is right in any try.

    - Generated answers: how often they would be right about other items (`chance_by_exchange`).
    - Scored choices: d different ones of m are right by chance in d of m cases (the task's `chance` is 1/m).
    - Answers that are not recorded: every try is a guess of its own, with the task's `chance`.

    Args:
        tries: Records of the tries; one row per item, setting and sample.
        records: All that anybody said to the task's items: what a right answer said is an item's gold.
        spec: The task.
    """
    of_items = tries["extracted"].map(_plain, na_action="ignore").groupby(tries["item"], sort=False)
    if not tries["response"].notna().any():
        return of_items.size().map(lambda k: chance_of_any(spec.chance, int(k)))
    if not (tries["finish"] != "").any():
        return (of_items.nunique() * spec.chance).clip(upper=1.0)
    right = records[(records["score"] == 1.0) & records["extracted"].notna()].drop_duplicates("item")
    golds = right.set_index("item")["extracted"].map(_plain)
    answers = {item: set(texts.dropna()) for item, texts in of_items}
    tried = pd.Index(answers)
    items = tried.union(golds.index, sort=False)  # golds of items that were not tried are exchanged too
    labels = records.drop_duplicates("item").set_index("item")["cluster"]
    groups = list(labels.reindex(items).fillna("")) if spec.cluster_role == "strata" else None
    said = [answers.get(item, set()) for item in items]
    chances = chance_by_exchange(said, list(golds.reindex(items).fillna("")), groups)
    return pd.Series(chances, index=items).reindex(tried)


def _plain(text: object) -> str:
    return str(text).strip().lower()
