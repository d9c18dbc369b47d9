"""Numbers out of text written for people."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper.errors import BadValue
from scraper.page.numbers import DecimalPoint, read_decimal, read_number


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("£51.77", "51.77"),
        ("£51.70", "51.70"),
        ("1,234.50 €", "1234.50"),
        ("In stock (22 available)", "22"),
        ("-3", "-3"),
        ("1 234", "1234"),
        ("1\u00a0234\u00a0567.89", "1234567.89"),
        ("1\u202f234", "1234"),
        ("1'234.50 CHF", "1234.50"),
        ("12,34,567", "1234567"),
        ("-£3.50", "-3.50"),
        ("£-3.50", "-3.50"),
        ("−3", "-3"),
        ("−\u00a03 °C", "-3"),
        ("SKU-3", "3"),
        ("No.5", "5"),
        ("Rs.500", "500"),
        ("£.99", "0.99"),
        ("5,-", "5"),
        ("Only 5.", "5"),
        ("10 m²", "10"),
        ("007", "7"),
        ("EUR51.77incl.", "51.77"),
        ("-1,234.5", "-1234.5"),
        ("٣٫", "3"),
    ],
)
def test_one_number_is_read_as_written(text: str, written: str) -> None:
    """A text with one number gives it, exactly as written."""
    assert read_decimal(text) == Decimal(written)
    assert str(read_decimal(text)) == str(Decimal(written))


@pytest.mark.parametrize(
    ("text", "written"),
    [("51,77 €", "51.77"), ("1.234,50 €", "1234.50"), ("1 234,5", "1234.5"), ("1.234", "1234"), ("7", "7")],
)
def test_the_decimal_point_can_be_a_comma(text: str, written: str) -> None:
    """With decimal_point "," the dot groups thousands."""
    assert read_decimal(text, ",") == Decimal(written)


@pytest.mark.parametrize(
    "text",
    [
        "3 of 10",
        "5-10",
        "5–10",
        "1/2",
        "12:30",
        "1e5",
        "1.2.3",
        "1,2,3",
        "12.05.2024",
        "2024-01-02",
        "10 20",
        "12 3456",
        "a897fe39b1053632",
    ],
)
def test_several_numbers_are_refused(text: str) -> None:
    """A text in which more than one number could be meant is an error that names it."""
    with pytest.raises(BadValue, match="more than one number") as caught:
        read_decimal(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("text", ["", "sold out", "—", "½", "..."])
def test_no_number_is_refused(text: str) -> None:
    """A text without a number is an error that names it."""
    with pytest.raises(BadValue, match="no number") as caught:
        read_number(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "decimal_point", "other"),
    [
        ("1.234,50", ".", ","),
        ("1.234.567", ".", ","),
        ("51,77", ".", ","),
        ("0,123", ".", ","),
        ("1234,567", ".", ","),
        ("1,234.50", ",", "."),
        ("1.5", ",", "."),
    ],
)
def test_the_other_notation_is_refused_with_the_setting(
    text: str, decimal_point: DecimalPoint, other: str
) -> None:
    """Separators that fit the other decimal point are never misread: the error says what to set."""
    with pytest.raises(BadValue, match=f'set decimal_point = "{other}"'):
        read_decimal(text, decimal_point)


@pytest.mark.parametrize("text", ["10k views", "1.5M", "1½", "1 ½", "10²"])
def test_shorthand_is_refused(text: str) -> None:
    """What follows the digits and changes their value is an error, not ignored."""
    with pytest.raises(BadValue, match="shorthand"):
        read_decimal(text)


def test_a_dash_that_may_be_a_minus_is_refused() -> None:
    """A hyphen, a space and a number at the start is no safe minus and no safe dash."""
    with pytest.raises(BadValue, match="may be a minus"):
        read_decimal("- $5.00")


def test_endless_digits_are_refused() -> None:
    """A run of digits longer than any amount is an error in our words."""
    with pytest.raises(BadValue, match="100 digits") as caught:
        read_number("9" * 5_000)
    assert len(str(caught.value)) < 300


def test_sec_37_half_a_page_is_no_number() -> None:
    """A text far beyond any amount is refused unread."""
    with pytest.raises(BadValue, match="10,000 characters"):
        read_number("1 " * 500_000)


def test_int_and_float_follow_the_writing() -> None:
    """A number is an int without, and a float with a written fraction."""
    assert (read_number("22"), type(read_number("22"))) == (22, int)
    assert (read_number("22.0"), type(read_number("22.0"))) == (22.0, float)


def test_an_unknown_decimal_point_is_a_programming_error() -> None:
    """Only "." and "," are decimal points."""
    with pytest.raises(ValueError, match="decimal_point"):
        read_number("1", ";")  # type: ignore[arg-type]  # the wrong value is the point of the test


@given(
    st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-(10**12), max_value=10**12),
    st.sampled_from([("", "."), (",", "."), (" ", "."), ("'", "."), ("\u202f", "."), (".", ","), (" ", ",")]),
    st.sampled_from(["{}", "£{}", "{} €", "about {} only"]),
)
def test_grouped_amounts_survive(value: Decimal, notation: tuple[str, DecimalPoint], around: str) -> None:
    """Every amount, grouped in any of the usual ways, is read back exactly."""
    group, point = notation
    text = f"{value:,.2f}".replace(",", "g").replace(".", point).replace("g", group)
    assert read_decimal(around.format(text), point) == value


@given(st.text(alphabet="0123456789.,'  -−–kM½²£()ab", max_size=12), st.sampled_from([".", ","]))
def test_any_text_is_read_or_refused(text: str, decimal_point: DecimalPoint) -> None:
    """Whatever the text, the answer is a number made of its digits, or BadValue."""
    try:
        value = read_decimal(text, decimal_point)
    except BadValue:
        return
    digits = "".join(c for c in text if c.isdecimal())
    assert int("".join(map(str, value.as_tuple().digits))) == int(digits)
    assert read_number(text, decimal_point) == pytest.approx(float(value))
