"""Behind a proxy that signs people in, the pages know the reader, and show nothing to a stranger."""

import pytest
from conftest import SLOW, expect, serving

pytestmark = pytest.mark.browser


def test_a_proxy_names_the_owner_and_a_stranger_sees_nothing(browser, tmp_path):
    with serving(tmp_path, worker=False, WORKBENCH_TRUSTED_HEADER="X-Forwarded-User") as server:
        stranger = browser.new_context(base_url=server.address).new_page()
        stranger.goto("/datasets")
        expect(stranger.get_by_text("has not said who you are")).to_be_visible(timeout=SLOW)
        expect(stranger.get_by_text("Import files")).to_have_count(0)

        known = browser.new_context(
            base_url=server.address, extra_http_headers={"X-Forwarded-User": "ann"}
        ).new_page()
        known.goto("/datasets")
        expect(known.get_by_text("Import files").first).to_be_visible(timeout=SLOW)
