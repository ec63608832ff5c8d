"""The bidding page: from nothing to a queued comparison, and the what-if."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from workbench.bidding import LogGenerator
from workbench.gui import bidding
from workbench.gui.text import md


@pytest.fixture
def auctions(store):
    log = LogGenerator(n_merchants=200, n_candidates=12, n_calibration=600).sample(600)
    return store.datasets.publish_frame(log.to_frame(), "auctions")


def test_an_empty_store_offers_to_generate_a_log(store, open_page):
    app = open_page("bidding")
    assert any("No data set holds a log of auctions yet" in info.value for info in app.info)
    app.number_input[0].set_value(1_000)
    app.number_input[1].set_value(200)
    app.button[0].click().run(timeout=60)
    assert not app.exception
    assert [d.ref for d in store.datasets.list()] == ["auctions-1000-200-0@1"]


def test_the_form_starts_a_comparison(store, auctions, open_page):
    app = open_page("bidding", data="auctions@1")
    app.multiselect(key="bidders").set_value(["Manual", "UniformScale"])
    app.button[-1].click().run(timeout=60)
    (run,) = store.runs()
    assert run.spec["recipe"] == "bidding.simulate"
    assert run.spec["params"]["bidders"] == "Manual, UniformScale"


def test_the_what_if_answers_the_sliders(auctions, open_page):
    app = open_page("bidding", data="auctions@1")
    before = {m.label: (m.value, m.delta) for m in app.metric}
    assert before["GMV"][1].startswith("+0.0%")
    app.slider(key="what_factor").set_value(0.35).run(timeout=60)
    after = {m.label: (m.value, m.delta) for m in app.metric}
    # With a third of the budget a third of the bid earns far more than manual bids.
    assert float(after["GMV"][1].split("%")[0]) > 30
    assert bidding.MAX_REQUESTS == 100_000


def test_a_link_brings_the_moved_sliders_back(auctions, open_page):
    app = open_page("bidding", data="auctions@1", what_factor="0.35", what_slots="2")
    assert app.slider(key="what_factor").value == 0.35
    assert app.slider(key="what_slots").value == 2
    assert float(app.metric[0].delta.split("%")[0]) > 30


def test_a_log_that_cannot_be_used_is_one_sentence_with_its_row(store, open_page):
    log = LogGenerator(n_merchants=100, n_candidates=12, n_calibration=300).sample(50)
    frame = log.to_frame()
    frame.loc[30, "pctr"] = 1.5
    store.datasets.publish_frame(frame, "spoilt")
    app = open_page("bidding", data="spoilt@1")
    assert [error.value for error in app.error] == [
        md("Row 31: pctr is 1.5, outside [0, 1]; give a probability.")
    ]


def test_no_bidder_is_said_before_a_run_is_queued(store, auctions, open_page):
    app = open_page("bidding", data="auctions@1")
    app.multiselect(key="bidders").set_value([])
    app.button[-1].click().run(timeout=60)
    assert store.runs() == []
    assert "Name at least one bidder" in app.error[0].value


def test_one_bidders_own_log_has_its_own_bidders(store, open_page):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"click": rng.integers(0, 2, 400), "price": rng.integers(1, 90, 400), "pctr": rng.random(400) / 10}
    )
    store.datasets.publish_frame(frame, "campaign")
    app = open_page("bidding", data="campaign@1")
    assert not app.exception
    assert {"MCPC", "M-PID", "SS-MDP", "RLB"} <= set(app.multiselect(key="replay_bidders").options)
    assert not app.metric  # no market, no what-if
    app.multiselect(key="replay_bidders").set_value(["MCPC", "RLB"])
    app.button[-1].click().run(timeout=60)
    (run,) = store.runs()
    assert run.spec["recipe"] == "bidding.replay"
    assert run.spec["params"]["bidders"] == "MCPC, RLB"
