"""The page in a real browser: drawn, obedient, silent in the console, and deaf to hostile strings."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from capeval.report.page import write_report
from capeval.report.words import interval, short_p, signed
from capeval.store.traces import Trace

from .conftest import HOSTILE, HOSTILE_NODE, HOSTILE_TASK

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-quic",
    "--no-first-run", "--disable-component-update", "--disable-sync", "--window-size=1280,1000",
)  # fmt: skip

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver (Debian packages)"),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The opened report."""

    browser: webdriver.Chrome
    address: str

    def open(self, fragment: str = "") -> None:
        self.browser.get("about:blank")
        self.browser.get(self.address + fragment)
        # the driver may come back before the page's own script has drawn it
        self.wait(
            lambda: self.run("return document.readyState === 'complete' && !!document.querySelector('#ledger tr')")
        )

    def run(self, script: str, *arguments: Any) -> Any:
        return self.browser.execute_script(script, *arguments)  # type: ignore[no-untyped-call]

    def click(self, selector: str, place: int = 0) -> None:
        """As a person with a keyboard would: focus, Enter."""
        element = self.browser.find_elements(By.CSS_SELECTOR, selector)[place]
        self.run("arguments[0].scrollIntoView({block: 'center'}); arguments[0].focus()", element)
        element.send_keys(Keys.ENTER)

    def choose(self, name: str, value: str) -> None:
        self.run(
            "const f = document.getElementById(arguments[0]); f.value = arguments[1];"
            "f.dispatchEvent(new Event('input')); f.dispatchEvent(new Event('change'))",
            name,
            value,
        )
        time.sleep(0.05)

    def texts(self, selector: str) -> list[str]:
        found: list[str] = self.run(
            "return [...document.querySelectorAll(arguments[0])].map((e) => e.textContent)", selector
        )
        return found

    def wait(self, check: Callable[[], Any]) -> Any:
        end = time.monotonic() + 10
        while time.monotonic() < end:
            if found := check():
                return found
            time.sleep(0.05)
        raise AssertionError("the page did not get there in 10 s")

    def complaints(self) -> list[str]:
        return [entry["message"] for entry in self.browser.get_log("browser")]  # type: ignore[no-untyped-call]


@pytest.fixture(scope="module")
def session(trace: Trace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    path = write_report(trace, tmp_path_factory.mktemp("page"))
    options = Options()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    downloads = tmp_path_factory.mktemp("downloads")
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    # a page without a screen never has the focus by itself, and its elements then get no focus events
    browser.execute_cdp_cmd("Emulation.setFocusEmulationEnabled", {"enabled": True})
    yield Page(browser=browser, address=path.as_uri())
    browser.quit()


@pytest.fixture
def page(session: Page) -> Iterator[Page]:
    """A fresh page; whatever a test did, the console stayed silent and no hostile string ran."""
    session.browser.set_window_size(1280, 1000)
    session.open()
    session.complaints()
    yield session
    assert session.run("return window.pwned") is None
    assert session.complaints() == []


def _rows(page: Page) -> list[str]:
    return page.texts("#ledger tr.row")


def test_everything_is_drawn(page: Page, trace: Trace) -> None:
    stages = trace.effects[trace.effects["kind"] == "edge"]
    assert len(_rows(page)) == min(50, len(stages))
    assert f"{len(stages)} of {len(trace.effects)} effects" in page.texts("#ledger-count")[0]
    assert len(page.texts(".node")) == 12
    page.wait(lambda: page.run("return document.querySelectorAll('#forest .scatterlayer .point').length"))
    scored = trace.scores["node"].nunique()
    assert len(page.texts("#heat thead th")) == scored + 1
    units = stages[stages["delta"].notna()]["unit"].nunique()
    assert len(page.texts("#forest .unit svg.main-svg")) >= units
    assert "unpaired" in page.texts("#published")[0]


def test_numbers_are_written_as_in_the_terminal(page: Page, trace: Trace) -> None:
    rows = page.run("return [...document.querySelectorAll('#ledger tr.row')].map((r) => +r.dataset.row)")
    cells = page.texts("#ledger tr.row td")
    width = len(cells) // len(rows)
    for place, row in enumerate(rows):
        effect = trace.effects.iloc[row]
        difference, p, grade, answer = (cells[place * width + column] for column in (4, 6, 8, 9))
        assert difference.startswith(signed(effect["delta"], effect["unit"]))
        assert interval(effect["low"], effect["high"], effect["unit"]) in difference
        assert p == short_p(effect["p_adjusted"])
        assert grade == effect["grade"] in "BCD"
        assert effect["label"] in answer


def test_an_edge_drives_every_view(page: Page, trace: Trace) -> None:
    page.click(".edge[data-contrast]")
    name = trace.effects.iloc[0]["contrast"]
    mine = trace.effects[(trace.effects["contrast"] == name) & (trace.effects["kind"] == "edge")]
    assert name in page.texts("#selected")[0]
    assert len(_rows(page)) == len(mine)
    assert page.run("return document.querySelectorAll('#heat thead .on-node').length") == 2
    page.wait(
        lambda: page.run("return document.querySelectorAll('#forest .point').length") == mine["delta"].notna().sum()
    )
    assert "edge=" in page.run("return decodeURIComponent(location.hash)")
    page.click("#selected button")
    assert len(_rows(page)) > len(mine)


def test_a_node_drives_every_view(page: Page, trace: Trace) -> None:
    names = [stage.name for stage in trace.tree.stages]
    page.click(".node", names.index("ppo"))
    effects = trace.effects
    assert len(_rows(page)) == ((effects["parent"] == "ppo") | (effects["child"] == "ppo")).sum()


def test_a_choice_shows_who_says_so(page: Page, trace: Trace) -> None:
    names = [stage.name for stage in trace.tree.stages]
    page.click(".node", names.index("code-sft"))
    said = dict(zip(page.texts("#selected dt"), page.texts("#selected dd"), strict=True))
    assert said["Source"] == "a model card"
    assert said["Parent link"] == "from code (disputed): a paper; as its maker says"
    assert said["Rival reading"] == f"from sft (disputed): a paper; {HOSTILE[1]}"
    page.open("#sibling=ppo+%E2%86%92+ppo-ptx")
    said = dict(zip(page.texts("#selected dt"), page.texts("#selected dd"), strict=True))
    assert said["Note"] == "the pretraining term"
    assert said["Confounds"].startswith("another seed; ")
    assert page.run("return document.querySelectorAll('#selected script').length") == 0


def test_a_finding_opens_its_row(page: Page) -> None:
    page.click(".finding")
    assert len(page.texts("tr.drill")) == 1
    assert page.run("return document.activeElement.className") == "open-row"


def test_filters_narrow_and_reset(page: Page, trace: Trace) -> None:
    page.choose("f-kind", "")
    for field, column, value in (
        ("f-label", "label", "lost"), ("f-capability", "capability", "style"), ("f-task", "task", HOSTILE_TASK),
    ):  # fmt: skip
        page.choose(field, value)
        page.wait(lambda c=column, v=value: len(_rows(page)) == (trace.effects[c] == v).sum())
        page.choose(field, "")
    page.click("#reset")
    page.wait(lambda: len(_rows(page)) == (trace.effects["kind"] == "edge").sum())


def test_search_finds_words_and_says_when_nothing_matches(page: Page) -> None:
    box = page.browser.find_element(By.ID, "f-q")
    box.send_keys("toxicity ppo-ptx")
    page.wait(lambda: 0 < len(_rows(page)) < 5)
    assert all("toxicity" in row and "ppo-ptx" in row for row in _rows(page))
    box.send_keys(" nothing-of-this-name")
    page.wait(lambda: "No effect matches" in page.texts("#ledger tbody")[0])


def test_sorting_turns_and_tells(page: Page, trace: Trace) -> None:
    def deltas() -> list[float]:
        rows = page.run("return [...document.querySelectorAll('#ledger tr.row')].map(r => +r.dataset.row)")
        return [trace.effects.iloc[i]["delta"] for i in rows]

    before = deltas()
    page.click('#ledger [data-sort="delta"]')
    assert deltas() == sorted(before, reverse=True)
    assert page.run("return document.querySelector('[data-sort=delta]').closest('th').ariaSort") == "descending"
    page.click('#ledger [data-sort="delta"]')
    assert deltas() == sorted(before)
    assert page.run("return document.activeElement.dataset.sort") == "delta"


def test_an_effect_over_training_runs_says_so(page: Page, trace: Trace) -> None:
    effects = trace.effects
    points = (effects["contrast"] == "base → code") & (effects["unit"] == "points")
    page.click(f'#ledger tr[data-row="{effects[points].index[0]}"] .open-row')
    facts = dict(zip(page.texts("tr.drill dt"), page.texts("tr.drill dd"), strict=True))
    told = "+20.0 [+5.0, +35.0] points over 3 training runs; 40 % of one run's variance is the run's own"
    assert facts["Over training seeds"] == f"{told}, the rest the items'"
    assert facts["Readable at every end"].startswith("+25.0 points on 50 items that no end left truncated")
    page.click(f'#ledger tr[data-row="{effects[effects["contrast"] == "sft → ppo"].index[0]}"] .open-row')
    facts = page.texts("tr.drill dt")
    assert facts.count("Over training seeds") == facts.count("Readable at every end") == 1


def test_drill_down_shows_both_answers_as_text(page: Page, trace: Trace) -> None:
    flips = trace.flips[trace.flips["kind"] == "edge"]
    first = flips.iloc[0]
    effects = trace.effects
    same = (effects["task"] == first["task"]) & (effects["setting"] == first["setting"]) & (effects["kind"] == "edge")
    row = effects[same & (effects["parent"] == first["parent"]) & (effects["child"] == first["child"])].index[0]
    page.click(f'#ledger tr[data-row="{row}"] .open-row')
    drill = page.texts("tr.drill")[0]
    assert effects.loc[row, "sentence"] in drill
    assert effects.loc[row, "method"] in drill
    facts = dict(zip(page.texts("tr.drill dt"), page.texts("tr.drill dd"), strict=True))
    assert facts["Evidence grade"] == f"{effects.loc[row, 'grade']}: {effects.loc[row, 'grade_reason']}"
    assert facts["Standard error"] == f"{effects.loc[row, 'se'] * 100:.1f} points"
    for name, ends in (
        ("95 % interval", ("low", "high")),
        ("90 % interval, for equivalence and gates", ("low_equivalence", "high_equivalence")),
    ):
        assert facts[name] == interval(*effects.loc[row, list(ends)], "points")
    assert facts["Parent link"].startswith(f"from {first['parent']} (")
    shown = page.texts("tr.drill .flip pre")
    assert shown[:2] == [_dom(first["parent_response"]), _dom(first["child_response"])]
    assert page.run("return document.querySelectorAll('tr.drill img, tr.drill script, tr.drill svg').length") == 0
    page.click(f'#ledger tr[data-row="{row}"] .open-row')
    assert page.texts("tr.drill") == []


def _dom(text: str) -> str:
    """What a text node keeps of a string that went through JSON: all of it."""
    return str(json.loads(json.dumps(text)))


def test_hostile_names_appear_as_they_are(page: Page) -> None:
    names = page.texts(".node .name")
    assert HOSTILE_NODE in names
    assert any(HOSTILE_TASK in text for text in page.texts("#heat tbody th"))
    page.choose("f-task", HOSTILE_TASK)
    page.wait(lambda: all(HOSTILE_TASK in row for row in _rows(page)))
    labels = page.wait(lambda: page.texts("#forest .ytick text"))
    assert any("<script>" in label for label in labels)
    assert page.run("return document.querySelectorAll('img, iframe, #forest a[href]').length") == 0


def _curves(page: Page) -> list[str]:
    return page.texts("#training-curves figcaption strong")


def test_a_trained_node_shows_its_curves_and_samples(page: Page) -> None:
    assert page.texts("#training-name") == ["sft"]  # the first with a curve
    assert _curves(page) == ["loss"]
    assert page.texts("#training-samples td") == [
        "<|user|> what is two and two ? <|end|> <|assistant|>", "four <|end|>", "say nothing", "(empty)",
    ]  # fmt: skip
    assert page.texts("#training-samples .token") == ["<|user|>", "<|end|>", "<|assistant|>", "<|end|>"]
    rows = len(_rows(page))
    chosen = page.browser.find_element(By.ID, "training-node")
    page.run("arguments[0].focus()", chosen)
    chosen.send_keys("ppo")
    page.wait(lambda: _curves(page) == ["score", "kl", "length", "value_loss"])
    lines = "return document.querySelectorAll('#training-curves .js-line').length"
    page.wait(lambda: page.run(lines) == 2 * 4)  # each with a gap where its value is null
    facts = dict(zip(page.texts("#training-facts dt"), page.texts("#training-facts dd"), strict=True))
    assert facts["Tokens"] == "3,072,000"
    assert facts["Parent"] == "sft"
    assert "hello , friend" in page.texts("#training-samples td")
    assert "model.hidden_size" in page.texts("#training-tables th")
    assert len(_rows(page)) == rows  # the rest of the page stays
    page.click("#theme")
    page.wait(lambda: page.run(lines) == 2 * 4)
    page.open(page.run("return location.hash"))
    assert page.texts("#training-name") == ["ppo"]


def test_training_follows_the_page(page: Page, trace: Trace) -> None:
    names = [stage.name for stage in trace.tree.stages]
    page.click(".node", names.index("ppo"))
    assert page.texts("#training-name") == ["ppo"]
    page.click(".node", names.index("lonely"))
    assert page.texts("#training-name") == ["sft"]
    page.open("#edge=sft+%E2%86%92+ppo")
    assert page.texts("#training-name") == ["ppo"]


def test_hostile_samples_stay_text(page: Page) -> None:
    page.choose("training-node", HOSTILE_NODE)
    assert page.texts("#training-name") == [HOSTILE_NODE]
    shown = page.texts("#training-samples td")
    assert shown == [_dom(text) for text in HOSTILE for _ in range(2)]
    assert _curves(page) == ["loss", HOSTILE[0], HOSTILE[9]]
    assert len(page.wait(lambda: page.texts("#training-curves svg.main-svg"))) >= 3
    assert page.run("return document.querySelectorAll('#training img, #training script, #training a').length") == 0


def test_the_policy_stops_what_slips_through(page: Page) -> None:
    page.run(
        "const d = document.createElement('div'); document.body.append(d);"
        "d.innerHTML = '<button id=slip onclick=\"window.pwned=1\">x</button>'; document.getElementById('slip').click()"
    )
    assert page.run("return window.pwned") is None
    refused = page.complaints()
    assert refused
    assert all("Content Security Policy" in message for message in refused)


def test_heatmap_speaks_on_hover_and_by_arrow_keys(page: Page, trace: Trace) -> None:
    cell = page.browser.find_elements(By.CSS_SELECTOR, "#heat tbody td")[0]
    page.run("arguments[0].focus()", cell)
    tip = page.texts("#tip")[0]
    assert "95 % interval" in tip
    assert "n = 60" in tip
    cell.send_keys(Keys.ARROW_RIGHT)
    assert page.texts("#tip")[0] != tip
    page.click("#heat-deltas")
    assert any(text.startswith("▲") for text in page.texts("#heat td"))
    confounded = (trace.effects["kind"] == "edge") & (trace.effects["confounds"] != "")
    longer = confounded & trace.effects["confounds"].str.startswith("a longer window")
    cells = page.run("return [...document.querySelectorAll('#heat td')].map((c) => [c.textContent, c.dataset.tip])")
    assert sum(text.endswith("†") for text, _ in cells) == confounded.sum() > 0
    assert sum("† confounded: a longer window" in (tip or "") for _, tip in cells) == longer.sum() > 0
    assert any("† confounded: disputed link" in (tip or "") for _, tip in cells)
    assert "† confounded" in page.texts("#heat-note")[0]


def test_theme_turns_the_whole_page(page: Page) -> None:
    ask = "return [document.documentElement.dataset.theme, getComputedStyle(document.body).backgroundColor]"
    before = page.run(ask)
    page.click("#theme")
    after = page.run(ask)
    assert {before[0], after[0]} == {"light", "dark"}
    assert before[1] != after[1]
    page.wait(lambda: page.run("return document.querySelectorAll('#forest .point').length"))


def test_addresses_lead_back(page: Page, trace: Trace) -> None:
    page.open("#sibling=ppo+%E2%86%92+ppo-ptx&task=sums")
    sibling = trace.effects[(trace.effects["kind"] == "sibling") & (trace.effects["task"] == "sums")]
    assert len(_rows(page)) == len(sibling)
    page.open("#edge=no+such&node=%3Cimg%20src%3Dx%3E&q=%3Cscript%3E")
    assert _rows(page) is not None


@pytest.mark.parametrize("width", [360, 768])
def test_a_phone_never_scrolls_the_page_sideways(page: Page, width: int) -> None:
    metrics = {"width": width, "height": 780, "deviceScaleFactor": 2, "mobile": True}
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)  # type: ignore[no-untyped-call]
    page.open()
    page.click(".finding")
    page.choose("training-node", HOSTILE_NODE)
    page.run("document.querySelectorAll('#provenance details').forEach(one => { one.open = true; })")
    assert page.run("return document.documentElement.scrollWidth") <= width
    page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})  # type: ignore[no-untyped-call]


def test_exports_are_the_filtered_rows(page: Page, trace: Trace) -> None:
    catch = (
        "window.blobs = []; const make = URL.createObjectURL;"
        "URL.createObjectURL = (blob) => { window.blobs.push(blob); return make.call(URL, blob); };"
    )
    page.run(catch)
    page.choose("f-task", "length")
    page.wait(lambda: all("length" in row for row in _rows(page)))
    page.click("#json")
    page.click("#csv")
    read = "const done = arguments[0]; Promise.all(window.blobs.map((b) => b.text())).then(done)"
    as_json, as_csv = page.browser.execute_async_script(read)  # type: ignore[no-untyped-call]
    wanted = trace.effects[(trace.effects["task"] == "length") & (trace.effects["kind"] == "edge")]
    rows = json.loads(as_json)
    assert {row["child"] for row in rows} == set(wanted["child"])
    assert len(rows) == len(wanted)
    assert as_csv.startswith("kind,contrast,parent,child,")
    assert as_csv.count("\r\n") == len(wanted) + 1


def test_the_file_is_small_enough_to_send(session: Page) -> None:
    path = Path(session.address.removeprefix("file://"))
    assert path.stat().st_size < 8e6
    assert len(HOSTILE) > 10
