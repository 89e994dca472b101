"""Rebuild the examples: `make gallery`. Pages (not committed: each inlines the chart library) and the pictures of them.

    python reports/build_gallery.py            # in reports/gallery: <tree>/report.html, pictures, claims-<tree>.md
    python reports/build_gallery.py --trace traces/lab     # and the claims of a tree that takes training

The pictures need Chromium; where it is missing the pages are written and the pictures are left as they are.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

import pandas as pd

from capeval.attribution.sentences import amount
from capeval.report.claims import markdown_claims
from capeval.report.markdown import escape, markdown_effects, table_of
from capeval.report.page import write_report
from capeval.report.words import delta
from capeval.store.files import write_text
from capeval.store.traces import Trace, load_trace, save_trace
from capeval.tracer import trace

GALLERY = Path(__file__).parent / "gallery"
TREES = ("instructgpt", "gpt-3.5")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-quic",
    "--no-first-run", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
)  # fmt: skip
SIZE = (1280, 1500)
ABOUT = """# What the tree {0} says of the literature's claims

`capeval claims {0}` prints this; `capeval claims {0} --claim ID` one claim with all that it rests on. p is adjusted
(Holm) over the claims that can be tested, † is confounded, grades are those of docs/statistics.md.

"""


EFFECTS = """# What the tree {0} shows of its stages

`capeval trace {0}` makes this and more. Certain effects of stages (child − parent) and within nodes (CoT − direct,
few-shot − zero-shot), most telling first.

"""
TAX = """
## What is a matter of form

The differences of `capeval trace {0}` split by why items flipped ([docs/flips.md](../../docs/flips.md)), where the form
of the answers, a cut, a refusal or missing reasoning took something for sure (95 % intervals, one by one). Causes add
up to the difference, with small changes that are no flips.

"""
TAXES = ("format", "truncation", "refusal", "reasoning", "slip")
SEEDS = """These are {1} training runs (`capeval trace {0} --seeds {1}`): values are means over them, and a claim stays
undecided where the 95 % t interval over the runs does not answer alike.

"""


def photograph(page: Path, picture: Path, *, dark: bool) -> None:
    """Open a page in headless Chromium and keep its first screen as a PNG."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    with tempfile.TemporaryDirectory() as profile:
        for flag in (*FLAGS, f"--user-data-dir={profile}", f"--window-size={SIZE[0]},{SIZE[1]}"):
            options.add_argument(flag)
        driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
        try:
            theme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
            driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [theme]})
            driver.get(page.resolve().as_uri())
            driver.save_screenshot(str(picture))
        finally:
            driver.quit()


def write_claims(found: Trace) -> None:
    """The claims ledger of a trace as a document."""
    name = found.tree.name
    about = ABOUT.format(name) + (SEEDS.format(name, runs) if (runs := int(found.claims["seeds"].max())) > 1 else "")
    write_text(GALLERY / f"claims-{name}.md", about + markdown_claims(found.claims, tree=name))


def write_effects(found: Trace) -> None:
    """The effects that are certain, of stages and within nodes, and what of them is a matter of form, as a document."""
    name, effects = found.tree.name, found.effects
    told = effects[effects["kind"].isin(("edge", "within")) & effects["answer"].isin(("gained", "lost"))]
    text = EFFECTS.format(name) + markdown_effects(told)
    split = found.anatomy
    tax = split[split["kind"].isin(("edge", "path", "sibling")) & ~split["task"].str.contains(":")]
    write_text(GALLERY / f"effects-{name}.md", text + TAX.format(name) + _split(tax, effects))


def _split(anatomy: pd.DataFrame, effects: pd.DataFrame) -> str:
    """A row for each contrast, task and setting that lost something by its form, a cut, a refusal or its reasoning."""
    key = ["kind", "parent", "child", "task", "setting"]
    whole = effects.drop_duplicates(key).set_index(key)["delta"]
    rows = []
    for place, part in anatomy.groupby(key, sort=False, observed=True):
        causes = part.set_index("cause")
        taxed = [cause for cause in TAXES if cause in causes.index and causes.loc[cause, "high"] < 0]
        if not taxed or place not in whole.index:
            continue
        _, parent, child, task, setting = (str(one) for one in place)
        cells = [_points(causes.loc[c]) if c in causes.index else "" for c in (*TAXES, "answer")]
        rows.append([escape(cell) for cell in (f"{parent} → {child}", f"{task} · {setting}",
                                               amount(whole[place], "points"), *cells)])  # fmt: skip
    return table_of(["contrast", "task · setting", "difference", *TAXES, "another answer"], "llrrrrrr", rows)


def _points(row: pd.Series) -> str:
    return delta(row["net"], row["low"], row["high"], "points")


def main() -> None:
    """Build every example."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trace", type=Path, action="append", default=[], help="a stored trace, for its claims")
    for folder in parser.parse_args().trace:
        write_claims(load_trace(folder))
    for name in TREES:
        found = trace(name)
        page = write_report(found, save_trace(found, GALLERY / name))
        print(page)
        write_claims(found)
        write_effects(found)
        if shutil.which("chromium") and shutil.which("chromedriver"):
            for theme in ("light", "dark"):
                photograph(page, GALLERY / f"{name}-{theme}.png", dark=theme == "dark")


if __name__ == "__main__":
    main()
