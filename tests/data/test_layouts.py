"""Files of many layouts: read as what they are, by the reader of whole files and by that of growing ones alike."""

from __future__ import annotations

import numpy as np
import pytest
from tables import AMBIGUOUS, UNREADABLE, layouts
from waiting import until

from uspnb.data.csv import read_csv
from uspnb.data.dates import AmbiguousDates
from uspnb.errors import DomainError
from uspnb.sources import CsvTailSource, SourceFault

LAYOUTS = layouts()


@pytest.fixture
def file(tmp_path):
    def write(text: str):
        path = tmp_path / "series.csv"
        path.write_bytes(text.encode())
        return path

    return write


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_whole_file(file, name):
    layout = LAYOUTS[name]
    series = read_csv(file(layout.text), **layout.options)
    np.testing.assert_array_equal(series.time_coordinate, layout.times.to_numpy().astype("datetime64[ns]"))
    np.testing.assert_array_equal(series.values, layout.values[: len(series)])
    assert layout.note in " ".join(series.notes)


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_file_that_grows_gives_the_same_ticks(file, name):
    layout = LAYOUTS[name]
    source = CsvTailSource(file(layout.text), poll_s=0.01, **layout.options)
    try:
        source.start(lambda: None)
        until(lambda: source.waiting == len(layout.times))
        ticks = source.take(1000)
    finally:
        source.close()
    np.testing.assert_array_equal(ticks.stamps_ns, layout.times.to_numpy().astype("datetime64[ns]").astype(np.int64))
    np.testing.assert_array_equal(ticks.values, layout.values[: len(ticks)])
    assert layout.note in " ".join(source.notes)


@pytest.mark.parametrize("name", AMBIGUOUS)
@pytest.mark.parametrize("reader", [read_csv, CsvTailSource], ids=["whole", "growing"])
def test_two_readings_are_asked_for(file, name, reader):
    with pytest.raises(DomainError, match=r"[23] ways|two ways|not clear"):
        reader(file(AMBIGUOUS[name]))


def test_the_question_shows_both_readings(file):
    with pytest.raises(AmbiguousDates, match=r"dayfirst=True.*--dayfirst") as caught:
        read_csv(file(AMBIGUOUS["days or months"]))
    assert caught.value.readings == {"day first": "2020-01-02", "month first": "2020-02-01"}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_cannot_be_read_is_refused_by_name(file, name):
    text, reason = UNREADABLE[name]
    with pytest.raises(DomainError, match=reason):
        read_csv(file(text))


def test_lines_below_the_table_are_left_out(file):
    for below in ("Total,70\n", "\nSource: example\n", "Mean,2.5\nTotal,70\n"):
        series = read_csv(file(LAYOUTS["ISO"].text + below))
        assert len(series) == 60 and "below the table" in series.notes[-1]
    with pytest.raises(DomainError, match="line 62: time is empty"):
        read_csv(file(LAYOUTS["ISO"].text + ",70\n"))


ROWS = LAYOUTS["ISO"].text.splitlines()


@pytest.mark.parametrize(
    ("order", "note"),
    [(slice(None, None, -1), "newest first"), (np.random.default_rng(7).permutation(60), "in no order")],
)
def test_rows_are_put_in_the_order_of_their_times(file, order, note):
    text = "\n".join([ROWS[0], *np.array(ROWS[1:], object)[order]])
    series = read_csv(file(text))
    np.testing.assert_array_equal(series.values, LAYOUTS["ISO"].values)
    assert any(note in said for said in series.notes)


LONG = "station,time,load\n" + "".join(f"{s},{row}\n" for s in ("hill", "lake") for row in ROWS[1:51])


def test_several_series_in_one_table_are_assets_or_asked_for(file):
    with pytest.raises(DomainError, match=r"2 series, told apart by column station.*--group station"):
        read_csv(file(LONG))
    series = read_csv(file(LONG), group="station")
    assert series.assets == ("hill", "lake") and series.name == "load"
    np.testing.assert_array_equal(series.values, np.repeat(LAYOUTS["ISO"].values[:50, None], 2, axis=1))
    holes = read_csv(file(LONG.replace(f"lake,{ROWS[3]}\n", "")), group="station")
    assert np.isnan(holes.values[2, 1]) and len(holes) == 50
    for group, reason in (("load", "no column of numbers"), ("city", "no column 'city'")):
        with pytest.raises(DomainError, match=reason):
            read_csv(file(LONG), group=group)


def test_stamps_of_the_day_alone_are_refused(file):
    text = "\n".join([ROWS[0], *(f"{row[:10]}{row[20:]}" for row in ROWS[1:])])
    with pytest.raises(DomainError, match=r"57 of 60 rows are not later.*time='DATE,TIME'"):
        read_csv(file(text))


def test_the_reader_of_a_growing_file_keeps_its_format(file):
    path = file("time;load\n13/01/2024;3\n14/01/2024;4\n")
    source = CsvTailSource(path, poll_s=0.01)
    try:
        source.start(lambda: None)
        until(lambda: source.waiting == 2)
        source.take(10)
        with path.open("a") as grown:
            grown.write("01/15/2024;5\n16.01.2024;5\n16/01/2024;6\n")
        for reason in ("'01/15/2024' is not a time day first", "'16.01.2024' is not written as the other times"):
            until(lambda: source.waiting > 0)
            with pytest.raises(SourceFault, match=reason):
                source.take(10)
        assert source.take(10).values.tolist() == [6.0]
    finally:
        source.close()


@pytest.mark.parametrize("bad", ["12.5ERR", "1.2.3", "1.234,5", "9 kW"])
def test_a_bad_number_among_the_first_rows_is_left_out_of_a_growing_file(file, bad):
    text = LAYOUTS["ISO"].text.replace(f",{LAYOUTS['ISO'].values[5]}\n", f",{bad}\n", 1)
    source = CsvTailSource(file(text.replace(",1.234,5", ',"1.234,5"')), poll_s=0.01)
    try:
        source.start(lambda: None)
        until(lambda: source.waiting == 59)
        values = [source.take(100).values]
        with pytest.raises(SourceFault, match="line 7 was left out: load = "):
            source.take(100)
        values.append(source.take(100).values)
    finally:
        source.close()
    np.testing.assert_array_equal(np.concatenate(values), np.delete(LAYOUTS["ISO"].values, 5))


def test_many_columns_and_long_lines_are_refused_at_once(file):
    with pytest.raises(DomainError, match="20,000 columns; the most is 10,000"):
        read_csv(file(";" * 19_999 + "\n1" + ";1" * 19_999 + "\n"))
    with pytest.raises(DomainError, match="line 1 has more than 1,048,576 characters") as caught:
        read_csv(file("\0" * 4_000_000))
    assert len(str(caught.value)) < 500
    with pytest.raises(DomainError) as caught:
        read_csv(file("time,load\n2024-01-01," + "\0" * 100_000 + "\n2024-01-02,1\n"))
    assert len(str(caught.value)) < 500
