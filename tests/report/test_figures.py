import math

import matplotlib as mpl
import pytest

from distort import codecs
from report import look, names
from report.figures import FIGURES, NothingToShow

SPECS = {spec.name: spec for spec in FIGURES}


def draw(name, table):
    with mpl.rc_context(look.RC):
        return SPECS[name].draw(table)


def lines(ax):
    return [line for line in ax.lines if str(line.get_gid()).startswith("curve:")]


def only(table, **where):
    mask = [all(row[field] == value for field, value in where.items()) for row in table.to_pylist()]
    return table.filter(mask)


def test_a_codec_with_one_quality_is_a_point_and_a_chain_is_dashed(collected):
    (ax,) = [ax for ax in draw("rate-psnr", collected.measured).axes if ax.get_ylabel()]
    styles = {len(line.get_xdata()): line.get_linestyle() for line in lines(ax)}
    assert styles == {4: "-", 2: "--", 1: "None"}


def test_infinite_psnr_and_what_has_no_rate_are_no_points_of_a_rate_curve(collected):
    figure = draw("rate-psnr", collected.measured)
    texts = [text for _, _, text, _ in look.hover_points(figure)]
    assert not [text for text in texts if text.startswith(("j2k-1\n", "noise-20\n", "blur-1\n", "clean"))]
    assert any(text.startswith("j2k-50\nPSNR") for text in texts)


def test_hovering_tells_distortion_value_bytes_and_bpp(collected):
    row = next(row for row in collected.measured.to_pylist() if row["distortion"] == "jpeg-10")
    texts = [text for _, _, text, _ in look.hover_points(draw("rate-psnr", collected.measured))]
    expected = (
        f"jpeg-10\nPSNR {row['psnr_mean']:.2f} dB\n{row['bytes_mean']:,.0f} bytes, {row['bpp_mean']:.3f} bpp"
    )
    assert expected in texts


def test_fig_4_comes_out_of_the_published_table_with_the_lossless_accuracy_as_a_line(paper):
    figure = draw("fig4-rate-accuracy", only(paper.accuracy, arch="resnet50"))
    panels = {ax.get_title(loc="left"): ax for ax in figure.axes if ax.get_ylabel()}
    expert = panels["Expert"]
    assert [len(line.get_xdata()) for line in lines(expert)] == [3, 3, 3]
    assert any("lossless 76.8 %" in text.get_text() for text in expert.texts)
    jpeg = next(line for line in lines(expert) if line.get_color() == look.colour("jpeg"))
    assert list(jpeg.get_ydata()) == [63.13, 69.92, 75.86]
    assert jpeg.get_xdata()[1] == pytest.approx(8 * 3018 / 224**2)


def test_fig_5_has_the_number_of_every_trained_and_tested_pair(collected):
    figure = draw("fig5-train-test", only(collected.matrix, method="expert"))
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert len(texts) == 16
    assert f"{100 * round(0.6 * 24) / 24:.1f}" in texts  # expert on jpeg-10: 0.4 + 0.2
    difference = draw("fig5-difference", collected.gains)
    assert len(difference.axes[0].texts) == 16


def test_all_distortions_share_the_axis_of_mse(collected):
    figure = draw("mse-accuracy", collected.accuracy)
    assert {line.get_color() for ax in figure.axes for line in lines(ax)} == {
        look.colour("jpeg"),
        look.colour("noise"),
    }


@pytest.mark.parametrize(
    ("name", "table", "reason"),
    [
        ("mse-accuracy", "accuracy", "no tested column has a known mean MSE"),
        ("fig5-difference", "gains", "models tested on other columns than their own"),
    ],
)
def test_a_figure_without_data_says_what_is_missing(paper, name, table, reason):
    with pytest.raises(NothingToShow, match=reason):
        draw(name, getattr(paper, table))


def test_log_axes_carry_plain_numbers(collected):
    figure = draw("rate-psnr", collected.measured)
    figure.draw_without_rendering()
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels() if label.get_text()]
    assert labels
    assert all(float(label.replace(",", "")) > 0 for label in labels)


def luminance(colour):
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_every_codec_has_its_own_colour_and_marker_with_a_contrast_of_4_5_to_1_on_both_pages():
    kinds = [names.kind(codec) for codec in [*codecs.REGISTRY, "not-installed"]]
    styles = [(*kind.colour, kind.marker) for kind in kinds] + [(look.INK, "#e8e8e8", look.CLEAN_MARKER)]
    for column in zip(*styles, strict=True):
        assert len(set(column)) == len(styles)
    for light, dark, _ in styles:
        assert (luminance(look.PAPER) + 0.05) / (luminance(light) + 0.05) >= 4.5
        assert (luminance(dark) + 0.05) / (luminance("#17181b") + 0.05) >= 4.5


def test_variants_of_a_codec_look_different(collected):
    rows = collected.measured.to_pylist()
    variants = look.variants(rows)
    assert (variants["JPEG"], variants["JPEG :444"]) == (0, 1)
    ax = look.Figure().subplots()
    kinds = [(chained, variant) for chained in (False, True) for variant in range(3)]
    drawn = [look.curve(ax, [1, 2], [1, 2], "jpeg", *kind) for kind in kinds]
    looks = {(str(line._unscaled_dash_pattern), line.get_fillstyle()) for line in drawn}
    assert len(looks) == len(drawn)


def test_labels_cover_no_marker_and_stand_at_their_own_curve(paper, collected):
    for name, table in (("rate-psnr", paper.measured), ("rate-psnr", collected.measured)):
        figure = draw(name, table)
        figure.draw_without_rendering()
        (ax,) = [ax for ax in figure.axes if ax.get_ylabel()]
        curves = {line.get_color(): line for line in lines(ax)}
        for text in ax.texts:
            box = text.get_window_extent()
            for line in lines(ax):
                for x, y in ax.transData.transform(line.get_xydata()):
                    assert not (box.x0 < x < box.x1 and box.y0 < y < box.y1), text.get_text()
            assert text.get_color() in curves


def test_labels_do_not_overlap_each_other(paper):
    for name, table in (
        ("rate-psnr", paper.measured),
        ("fig4-rate-accuracy", only(paper.accuracy, arch="resnet50")),
    ):
        figure = draw(name, table)
        figure.draw_without_rendering()
        for ax in figure.axes:
            boxes = [text.get_window_extent() for text in ax.texts]
            assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
            assert all(math.isfinite(box.x0) for box in boxes)
