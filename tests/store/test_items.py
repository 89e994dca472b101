import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capeval.store.items import item_digest

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), _json, max_size=4))
def test_survives_a_json_log(doc: dict[str, object]) -> None:
    logged = json.loads(json.dumps(doc, indent=2, ensure_ascii=False))
    assert item_digest(logged) == item_digest(doc)
    assert item_digest(dict(reversed(doc.items()))) == item_digest(doc)


def test_equals_what_lm_eval_logs_of_values_that_json_cannot_hold() -> None:
    utils = pytest.importorskip("lm_eval.utils")
    doc = {
        "n": np.int64(3),
        "x": np.float32(0.5),
        "ok": np.bool_(True),
        "t": (1, 2),
        "o": object(),
        "d": np.datetime64("2024-01-01"),
        "k": {True: 1, None: 2, 3: 4},
    }
    logged = json.loads(json.dumps(doc, default=utils.handle_non_serializable))
    assert item_digest(logged) == item_digest(doc)


def test_content_counts_and_row_numbers_do_not() -> None:
    assert item_digest({"q": "a"}) != item_digest({"q": "b"})
    assert item_digest({"q": 1}) != item_digest({"q": "1"})
    assert item_digest({"q": "a", "__index_level_0__": 7}) == item_digest({"q": "a"})
    assert item_digest({"o": object()}) == item_digest({"o": object()}), "a memory address is no content"
