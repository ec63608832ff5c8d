import numpy as np
import plotly.io as pio
import pytest

from workbench.plots import template


def test_the_same_labels_get_the_same_colours_in_any_order():
    first = template.class_colours(["10", "9", "b", "a"])
    assert list(first) == ["9", "10", "a", "b"]  # numbers by value, then names
    assert template.class_colours(["b", "a", "9", "10", "a"]) == first


def test_missing_labels_are_no_class():
    assert template.class_order(["a", None, float("nan"), np.nan]) == ["a"]


def test_classes_beyond_the_palette_differ_by_symbol():
    labels = [str(i) for i in range(3 * len(template.PALETTE))]
    colours, symbols = template.class_colours(labels), template.class_symbols(labels)
    assert len({(colours[name], symbols[name]) for name in labels}) == len(labels)


def _luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("page", ["#FFFFFF", "#111827"])
def test_every_colour_can_be_seen_on_a_light_and_on_a_dark_page(page):
    for colour in (*template.PALETTE, template.CONTROL):
        bright, dim = sorted((_luminance(colour), _luminance(page)), reverse=True)
        assert (bright + 0.05) / (dim + 0.05) > 2, colour


def test_theming_changes_the_text_and_keeps_the_data():
    fig = template.figure(x="Epoch", y="Loss")
    fig.add_scatter(x=[1, 2], y=[3, 4])
    dark = template.themed(fig, dark=True).layout.template.layout.font.color
    light = template.themed(fig, dark=False).layout.template.layout.font.color
    assert dark != light
    assert fig.layout.xaxis.title.text == "Epoch"
    assert list(fig.data[0].y) == [3, 4]


def test_a_figure_is_json_without_a_foreign_address():
    text = pio.to_json(template.figure(x="a", y="b"))
    assert "http" not in text


def test_markup_in_a_name_is_text():
    assert template.plain("<a href='x'>&amp;") == "&lt;a href='x'>&amp;amp;"


def test_few_epochs_are_counted_in_whole_ones_and_many_are_not_named_one_by_one():
    few, many = template.figure(x="Epoch", y="Loss"), template.figure(x="Epoch", y="Loss")
    few.add_scatter(x=[1, 2, 3], y=[3, 2, 1])
    many.add_scatter(x=list(range(1, 200)), y=list(range(1, 200)))
    assert template.whole_steps(few).layout.xaxis.dtick == 1
    assert template.whole_steps(many).layout.xaxis.dtick is None
    assert template.whole_steps(template.figure(x="Epoch", y="Loss")).data == ()
