"""The modality page on tables that are no sample, and its result page."""

import numpy as np
import pandas as pd
import pytest

from workbench.modality.race import DEFAULT_RACE


@pytest.fixture
def table(store):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(40, 4)), columns=["nose_1", "nose_2", "ear_1", "ear_2"])
    frame["smell"] = np.where(rng.random(40) < 0.5, "rose", "coal")
    return store.datasets.publish_frame(frame, "Senses", roles={"label": "smell", "field": list(frame)[:4]})


def start(app):
    app.button[0].click().run()
    return app


def test_columns_are_assigned_to_guessed_modalities_and_a_run_is_submitted(table, store, open_page):
    app = open_page("modality", data="Senses@1")
    assert app.selectbox(key="estimator").value == "modality.ModalityCompetitionAnalyzer"
    assert any("'nose': ['nose_1', 'nose_2']" in code.value for code in app.code)
    start(app)
    assert [run.spec["params"]["modalities"] for run in store.runs()] == [
        {"nose": ["nose_1", "nose_2"], "ear": ["ear_1", "ear_2"]}
    ]


def test_text_is_refused_before_a_run(store, open_page):
    frame = pd.DataFrame({"note_text": [f"patient {i} slept well again" for i in range(40)]})
    frame = frame.assign(blood_a=np.arange(40.0), class_=["ill", "well"] * 20)
    roles = {"label": "class_", "modality:note": ["note_text"], "modality:blood": ["blood_a"]}
    store.datasets.publish_frame(frame, "Notes", roles=roles)
    app = start(open_page("modality", data="Notes@1"))
    assert "raw text" in app.error[0].value
    assert "vectorise" in app.error[0].value
    assert not store.runs()


def test_one_modality_has_nobody_to_compete_with(store, open_page):
    frame = pd.DataFrame({"blood_a": np.arange(40.0), "blood_b": np.arange(40.0) ** 2})
    frame["class"] = ["x", "y"] * 20
    store.datasets.publish_frame(frame, "Blood", roles={"label": "class", "field": ["blood_a", "blood_b"]})
    app = start(open_page("modality", data="Blood@1"))
    assert "nobody to compete with" in app.error[0].value
    assert not store.runs()
    app = open_page("modality", data="Blood@1", estimator="modality.LateFusionClassifier")
    start(app)
    assert len(store.runs()) == 1  # a network of one modality is no comparison


def test_a_race_as_a_run_for_each_remedy(table, store, open_page):
    app = open_page("modality", data="Senses@1", estimator="modality.RemedyRace")
    app.checkbox(key="apart").check()
    start(app)
    runs = store.runs()
    assert sorted(run.spec["params"].get("remedy", "none") for run in runs) == sorted(DEFAULT_RACE)
    assert all(run.estimator_name == "modality.LateFusionClassifier" for run in runs)
    assert all(run.spec["params"]["modalities"]["ear"] == ["ear_1", "ear_2"] for run in runs)


def test_names_and_single_columns_are_edited(monkeypatch):
    """The two tables as functions: what the browser sends back becomes the modalities."""
    from workbench.gui import modality

    names = ["v1_a", "v1_b", "v2_a", "age"]

    def choose(renamed: list[str], owners: list[str]) -> dict[str, list[str]]:
        answers = iter([renamed, owners])
        editor = lambda frame, **_: frame.assign(modality=next(answers))  # noqa: E731
        monkeypatch.setattr(modality.st, "data_editor", editor)
        return modality.assignment({"v1": names[:2], "v2": [names[2]]}, names, key="k")

    kept = ["v1", "v1", "v2", ""]
    assert choose(["v1", "v2"], kept) == {"v1": ["v1_a", "v1_b"], "v2": ["v2_a"]}
    assert choose(["audio", "motion"], kept) == {"audio": ["v1_a", "v1_b"], "motion": ["v2_a"]}
    assert choose(["audio", ""], kept) == {"audio": ["v1_a", "v1_b"]}
    assert choose(["both", "both"], kept) == {"both": ["v1_a", "v1_b", "v2_a"]}
    assert choose(["audio", "motion"], ["v1", "v2", "v2", "person"]) == {
        "audio": ["v1_a"],
        "motion": ["v1_b", "v2_a"],
        "person": ["age"],
    }


def test_a_table_without_features_says_what_to_do(store, open_page):
    frame = pd.DataFrame({"blood": np.arange(40.0), "class": ["x", "y"] * 20})
    store.datasets.publish_frame(frame, "Bare", roles={"label": "class", "field": []})
    app = open_page("modality", data="Bare@1")
    assert "'modality:<name>'" in app.info[0].value
    assert not app.button


def test_a_table_whose_rows_have_several_labels(store, open_page):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(40, 4)), columns=["nose_1", "nose_2", "ear_1", "ear_2"])
    frame = frame.assign(sweet=rng.random(40) < 0.5, loud=rng.random(40) < 0.5)
    roles = {"labels": ["sweet", "loud"], "field": list(frame)[:4]}
    store.datasets.publish_frame(frame, "Both", roles=roles)
    app = open_page("modality", data="Both@1")
    assert not app.error
    start(app)
    (run,) = store.runs()
    assert run.spec["params"]["modalities"] == {"nose": ["nose_1", "nose_2"], "ear": ["ear_1", "ear_2"]}


def test_a_table_without_a_label_says_which_roles_it_may_have(store, open_page):
    frame = pd.DataFrame({"blood_a": np.arange(40.0), "blood_b": np.arange(40.0) ** 2})
    store.datasets.publish_frame(frame, "None", roles={"field": ["blood_a", "blood_b"]})
    assert "'label', or several the role 'labels'" in open_page("modality", data="None@1").info[0].value
