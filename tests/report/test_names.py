import pytest

from report import names


@pytest.mark.parametrize(
    ("distortion", "series", "codec", "value"),
    [
        ("jpeg-10", "JPEG", "jpeg", 10),
        ("jpeg-10:444", "JPEG :444", "jpeg", 10),
        ("blur-0.5", "blur", "blur", 0.5),
        ("noise-20+jpeg-10", "noise-20 + JPEG", "jpeg", 10),
        ("jpeg-10+noise-20", "JPEG + noise-20", "jpeg", 10),
        ("noise-20+blur-1", "noise-20 + blur", "blur", 1),
        ("clean", "clean", "clean", None),
        ("someone-elses-7", "someone-elses", "someone-elses", 7),
    ],
)
def test_a_column_name_says_its_curve_and_its_place_on_it(distortion, series, codec, value):
    place = names.place(distortion)
    assert (place.series, place.codec, place.value) == (series, codec, value)


def test_rows_are_ordered_by_codec_then_from_the_least_distorting_value_with_chains_last():
    shuffled = ["noise-20+jpeg-10", "j2k-400", "jpeg-5", "clean", "noise-20", "j2k-75", "jpeg-75", "other-1"]
    wanted = ["clean", "jpeg-75", "jpeg-5", "j2k-75", "j2k-400", "noise-20", "other-1", "noise-20+jpeg-10"]
    assert sorted(shuffled, key=names.order) == wanted
