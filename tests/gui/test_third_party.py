"""A third party's estimator in the pages: its form, its run, its own result view, its notebook."""

from workbench.serving import wait_for


def test_the_form_is_drawn_from_the_estimator_and_starts_its_run(filled, open_page):
    app = open_page("time_series", data="Italy@1", estimator="acme.BandPower")
    bands = next(field for field in app.number_input if field.label == "n_bands")
    assert (bands.value, bands.min, bands.max) == (4, 1, 64)
    scale = next(field for field in app.selectbox if field.label == "scale")
    assert scale.options == ["linear", "log"]
    bands.set_value(6)
    next(button for button in app.button if button.label == "Start").click().run()
    (run,) = filled.runs()
    assert (run.estimator_name, run.spec["params"], run.recipe) == (
        "acme.BandPower",
        {"n_bands": 6},
        "acme.band_ranking",
    )


def test_the_result_page_is_the_packages_own_view(filled, third_party, open_page):
    run = wait_for(filled, filled.submit("acme.BandPower", "Italy"))
    assert run.state == "done", run.error
    app = open_page("run", run=run.id)
    assert [heading.value for heading in app.subheader] == ["Acme's bands"]
    assert any(run.headline in text.value for text in app.markdown)
    assert any("BandPower" in code.value for code in app.code)
    assert (run.folder / "artifacts" / "figures" / "bands.json").exists()
