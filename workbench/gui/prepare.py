"""The parts of the Prepare page: steps, their preview, publishing, and the recipe to take away."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import streamlit as st

from workbench.datasets.prepare import STEPS, Preparation, Preview, Vectorise
from workbench.datasets.prepare.suggest import Rhythm, applicable, rhythm, suggest
from workbench.errors import UsageError, WorkbenchError
from workbench.gui import choices, navigation, steps
from workbench.gui.context import store
from workbench.gui.failures import guard, show
from workbench.gui.panels import plot
from workbench.gui.text import count, md
from workbench.plots import preparation as plots

if TYPE_CHECKING:
    from workbench.datasets import Dataset

__all__ = ["about", "building", "outcome", "recipe_of", "start"]

_STEPS = "prepare.steps"  # what stands in the forms: a list of {"id", "values"}
_ADDRESS = "prepare.address"  # the recipe that the address was last given
MAX_LINK = 4000  #: characters of a recipe that the address carries
PREVIEW_ROWS = 200
_OWNERS = {"series_id": "series", "user": "users"}
_MADE = ("window", "source", "session", "split", "label")  # columns that steps make


# --- what the data are like ---------------------------------------------------------------------


@st.cache_data(max_entries=50, show_spinner="Looking at the time stamps…")
def _rhythm(ref: str, revision: int) -> Rhythm | None:
    return rhythm(store().dataset(ref).with_roles(revision))


def about(dataset: Dataset) -> None:
    """Size, and how the time stamps follow each other."""
    words = [choices.summary(dataset)]
    found = _rhythm(dataset.ref, dataset.role_revision)
    if found is not None:
        owner = "user" if "user" in dataset.roles else "series"
        plural = f"{owner}s" if owner == "user" and found.n_series != 1 else owner
        words.append(f"{count(found.n_series)} {plural}")
        if "value" in dataset.roles:
            if found.step is not None:
                words.append(f"mostly every {found.step}")
            words.append(_several(found.duplicates, "duplicate time stamp"))
            words.append(_several(found.gaps, "gap"))
            words.append(f"{found.missing:.2%} missing")
    st.caption(" · ".join(md(word) for word in words))


def _several(n: int, word: str) -> str:
    return f"{count(n)} {word}{'s' * (n != 1)}"


# --- the steps ----------------------------------------------------------------------------------


def start() -> None:
    """Take up the recipe that the address names, unless this page has put it there itself."""
    st.session_state.setdefault(_STEPS, [])
    asked, of = st.query_params.get("recipe"), st.query_params.get("of")
    with guard():
        if of:
            del st.query_params["of"]
            _set(recipe_of(of))
        elif asked and asked != st.session_state.get(_ADDRESS):
            st.session_state[_ADDRESS] = asked
            _set(Preparation.from_json(asked))


def recipe_of(ref: str) -> Preparation:
    """The recipe that made a version.

    Raises
    ------
    UsageError
    """
    recipe = store().dataset(ref).recipe
    if not recipe or "steps" not in json.loads(recipe):
        raise UsageError(f"{ref} was not made by a preparation.")
    return Preparation.from_json(recipe)


def _set(preparation: Preparation) -> None:
    _put(json.loads(preparation.to_json())["steps"])


def _put(values: list[dict[str, Any]]) -> None:
    st.session_state[_STEPS] = [{"id": uuid.uuid4().hex[:8], "values": dict(each)} for each in values]


def building(dataset: Dataset) -> Preparation | None:
    """The forms of the steps; returns the preparation they make, None while there is none."""
    current: list[dict[str, Any]] = st.session_state[_STEPS]
    if not current:
        _suggestions(dataset)
    for place, entry in enumerate(current):
        with st.container(border=True):
            _head(place, entry, len(current))
            offered = [column.name for column in dataset.columns] + [*_MADE]
            entry["values"] = steps.draw(entry["values"], key=f"prepare.{entry['id']}", columns=offered)
    with st.container(horizontal=True, vertical_alignment="center"):
        with st.popover("Add a step", icon=":material/add:"):
            _adding(dataset)
        with st.popover("Load a recipe", icon=":material/upload_file:"):
            _loading()
        if current:
            st.button("Clear", on_click=_put, args=([],), icon=":material/delete:")
    if not current:
        st.query_params.pop("recipe", None)
        return None
    return Preparation.from_json(json.dumps([entry["values"] for entry in current]))


def _suggestions(dataset: Dataset) -> None:
    recipes = suggest(dataset, _rhythm(dataset.ref, dataset.role_revision))
    if not recipes:
        st.info("Add a step below. Most steps need roles: a time and values, a user and an item.")
        return
    st.markdown("**Start from what is common for such data**, or add steps one by one.")
    with st.container(horizontal=True):
        for title, made in recipes.items():
            values = json.loads(Preparation(made).to_json())["steps"]
            st.button(md(title), on_click=_put, args=(values,), icon=":material/auto_awesome:")


def _head(place: int, entry: dict[str, Any], n: int) -> None:
    kind = entry["values"]["step"]
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.markdown(f"**{place + 1} · {steps.TITLES.get(kind, kind)}**", width="content")
        with st.container(horizontal=True, width="content", gap="small"):
            for icon, word, to in (("arrow_upward", "Earlier", -1), ("arrow_downward", "Later", 1)):
                st.button(  # an icon alone would be read out by the icon's own name
                    word,
                    icon=f":material/{icon}:",
                    key=f"prepare.{entry['id']}.{word}",
                    disabled=not 0 <= place + to < n,
                    on_click=_move,
                    args=(place, to),
                    type="tertiary",
                )
            st.button(
                "Remove",
                icon=":material/close:",
                key=f"prepare.{entry['id']}.Remove",
                on_click=_remove,
                args=(place,),
                type="tertiary",
            )
    st.caption(md(steps.summary(kind)))


def _move(place: int, to: int) -> None:
    listed = st.session_state[_STEPS]
    listed[place], listed[place + to] = listed[place + to], listed[place]


def _remove(place: int) -> None:
    del st.session_state[_STEPS][place]


def _add(kind: str) -> None:
    st.session_state[_STEPS].append({"id": uuid.uuid4().hex[:8], "values": {"step": kind}})


def _adding(dataset: Dataset) -> None:
    fitting = [step.kind for step in applicable(dataset)]
    for kind in [*fitting, *(kind for kind in STEPS if kind not in fitting)]:
        fits = kind in fitting
        st.button(
            steps.TITLES.get(kind, kind),
            key=f"prepare.add.{kind}",
            on_click=_add,
            args=(kind,),
            width="stretch",
            type="secondary" if fits else "tertiary",
            help=md(steps.summary(kind)) + ("" if fits else " Needs roles that these data do not have."),
        )


def _loading() -> None:
    file = st.file_uploader("A recipe (JSON), as downloaded here", type="json", key="prepare.file")
    made = [v.ref for d in store().datasets.list() for v in store().datasets.versions(d.name) if _prepared(v)]
    ref = st.selectbox("Or that of a data set", made, index=None, key="prepare.from")
    if st.button("Load", type="primary", disabled=file is None and ref is None):
        try:
            if file is not None:
                _set(Preparation.from_json(file.getvalue().decode("utf-8", "replace")))
            else:
                _set(recipe_of(str(ref)))
        except WorkbenchError as error:
            show(error)
        else:
            st.rerun()


def _prepared(dataset: Dataset) -> bool:
    return dataset.importer == "prepare" and bool(dataset.recipe)


# --- what comes of them -------------------------------------------------------------------------


@st.cache_data(max_entries=30, show_spinner="Preparing a part…")
def _preview(ref: str, revision: int, recipe: str, n: int) -> Preview:
    dataset = store().dataset(ref).with_roles(revision)
    return Preparation.from_json(recipe).preview(dataset, n=n)


def _words(preview: Preview) -> tuple[str, ...]:
    """What the columns of a vector stand for."""
    known = [s.vocabulary for s in preview.steps if isinstance(s, Vectorise) and s.vocabulary]
    return known[-1] if known else ()


def outcome(dataset: Dataset, preparation: Preparation) -> None:
    """Preview, publish, and the recipe as text."""
    recipe = json.dumps(json.loads(preparation.to_json())["steps"], separators=(",", ":"))
    if len(recipe) <= MAX_LINK:
        st.session_state[_ADDRESS] = st.query_params["recipe"] = recipe
    else:
        st.query_params.pop("recipe", None)
    st.subheader("Preview")
    _previewing(dataset, preparation)
    st.subheader("Publish")
    _publishing(dataset, preparation)
    with st.expander("The recipe as SQL, Python and JSON", icon=":material/code:"):
        _recipe(dataset, preparation)


def _previewing(dataset: Dataset, preparation: Preparation) -> None:
    left, right = st.columns(2)
    titles = [f"{i}. {steps.TITLES.get(s.kind, s.kind)}" for i, s in enumerate(preparation.steps, 1)]
    upto = left.selectbox(
        "After step",
        range(1, len(titles) + 1),
        index=len(titles) - 1,
        key=f"prepare.upto.{len(titles)}",
        format_func=lambda i: titles[i - 1],
    )
    owner = next((word for role, word in _OWNERS.items() if role in dataset.roles), None)
    n = 1
    if owner is not None:
        n = right.number_input(f"First so many {owner}", 1, 50, 3, 1, key="prepare.n")
    part = Preparation(preparation.steps[:upto])
    with guard():
        preview = _preview(dataset.ref, dataset.role_revision, part.to_json(), int(n))
        gone = "" if len(preview.after) else " Nothing is left: change a step."
        st.caption(
            f"{count(len(preview.before))} rows before, {count(len(preview.after))} after, of a part of the "
            f"data.{gone}"
        )
        drawn = plots.figures(
            preview.before, preview.after, dataset.roles, preview.roles, words=_words(preview)
        )
        small = [title for title in drawn if title.startswith("Rows by ")]
        places = dict(zip(small, st.columns(2) if small else [], strict=False))
        for title, fig in drawn.items():
            with places.get(title, st.container()):
                st.markdown(f"**{md(title)}**")
                plot(fig, f"prepare-{title}")
        after, before = st.tabs(["Rows after", "Rows before"])
        after.dataframe(preview.after.head(PREVIEW_ROWS), hide_index=True, width="stretch")
        before.dataframe(preview.before.head(PREVIEW_ROWS), hide_index=True, width="stretch")


def _publishing(dataset: Dataset, preparation: Preparation) -> None:
    with st.form("publish", border=False):
        left, right = st.columns([3, 1], vertical_alignment="bottom")
        name = left.text_input(
            "Name (a name in use gets a new version)", value=f"{dataset.name} prepared"[:100]
        )
        asked = right.form_submit_button("Publish", type="primary", width="stretch")
    if asked:
        with guard():
            with st.spinner("Preparing the whole data set…"):
                made = preparation.apply(dataset, name.strip())
            navigation.open_page("datasets", data=made.ref)


def _recipe(dataset: Dataset, preparation: Preparation) -> None:
    st.caption("The JSON can be loaded above, for other data or another day; the SQL runs on the SQL page.")
    sql, python, recipe = st.tabs(["SQL", "Python", "JSON"])
    with sql, guard():
        _download(preparation.to_sql(dataset), "sql")
    with python:
        _download(preparation.to_python(dataset.ref, f"{dataset.name} prepared"), "python")
    with recipe:
        _download(preparation.to_json(), "json")


def _download(text: str, language: str) -> None:
    st.code(text, language=language, height=300 if text.count("\n") > 12 else "content")
    suffix = {"python": "py"}.get(language, language)
    st.download_button(
        f"Recipe as {suffix}",
        text,
        file_name=f"recipe.{suffix}",
        key=f"recipe-{language}",
        icon=":material/download:",
        on_click="ignore",
    )
