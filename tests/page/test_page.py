"""The author's view of a page: elements, values, links, rows, and what surrounds them."""

from __future__ import annotations

import gc
import json
import weakref
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NamedTuple

import httpx
import pytest

from scraper.core.models import Options, Request, Requests
from scraper.errors import BadSelector, BadValue, FetchError, NoMatch, PageError, Skip
from scraper.page import FailedRow, Node, Page, document_of

URL = "https://shop.test/list/page.html"

SHOP = """
<html><head><title>A  shop</title><style>p {}</style></head><body>
<h1>Books &amp;
   more</h1>
<article class="product a" id="1"><h3><a href="a.html" title="First">First</a></h3><p class="price">£51.77</p>
  <p class="stock">In stock (22 available)</p></article>
<article class="product b"><h3><a href="/b.html#top">Second</a></h3><p class="price">£1,053.74</p>
  <p class="stock"></p></article>
<ul><li class="next"><span>go</span><a href="?page=2">next</a></li><li class="plain">no link</li></ul>
<input disabled value="">
</body></html>
"""


def page(html: str = SHOP, *, url: str = URL, kind: str = "text/html; charset=utf-8", **changes: Any) -> Page:
    settings: dict[str, Any] = {
        "url": url,
        "status": 200,
        "headers": httpx.Headers({"content-type": kind} if kind else {}),
        "body": html.encode(),
        "source": lambda: html,
        "options": Options(callback="parse_list", args='{"shop":"x"}'),
    }
    return Page(**{**settings, **changes})


class Spider:
    """Callbacks as a spider has them; none of them is called here."""

    def parse(self, page: Page) -> None: ...

    def parse_book(self, page: Page, category: str, rank: int = 0) -> None: ...

    def parse_open(self, page: Page, **rest: str) -> None: ...

    def parse_many(self, page: Page, *rest: str) -> None: ...

    def parse_nothing(self) -> None: ...


spider = Spider()


# ---------------------------------------------------------------------------------------------- elements


def test_css_gives_nodes_in_document_order() -> None:
    """css gives every match, as a list of nodes."""
    nodes = page().css("article")
    assert [node.text("h3") for node in nodes] == ["First", "Second"]
    assert all(isinstance(node, Node) for node in nodes)


def test_a_list_of_selectors_gives_each_element_once() -> None:
    """An element that matches several branches of a list is reported once, in document order."""
    assert [node.tag for node in page().css("h3, article.a h3, h1, *:is(h1)")] == ["h1", "h3", "h3"]
    assert page("<p><b>x</b></p>").texts("p, p b, b") == ["x", "x"]


def test_first_one_and_has() -> None:
    """first is a node or None, one is a node or an error, has is a bool."""
    shop = page()
    first = shop.first("article")
    assert first is not None
    assert first == shop.one("article")
    assert shop.first("article.c") is None
    assert shop.has("article")
    assert not shop.has("article.c")


def test_one_names_selector_and_page() -> None:
    """Without a match the error names the selector and the URL."""
    with pytest.raises(NoMatch, match=r'"article\.c" on https://shop\.test/list/page\.html'):
        page().one("article.c")


def test_a_node_selects_below_itself() -> None:
    """A node's selectors never give the node itself, and see the elements around it."""
    outer = page("<div class=a><div class=b><p>x</p></div></div><p>y</p>").one("div")
    assert [node.attr("class") for node in outer.css("div")] == ["b"]
    assert outer.one("div").attr("class") == "b"
    assert not outer.one("div").has("div")
    assert outer.texts("body p") == ["x"]


def test_neighbours_are_elements() -> None:
    """parent, children, next and prev skip text and comments, and end with None."""
    body = page("<p>a</p> text <!-- c --><b>b</b>").one("body")
    assert [node.tag for node in body.children] == ["p", "b"]
    p, b = body.children
    assert (p.next, b.prev, p.parent) == (b, p, body)
    assert (p.prev, b.next) == (None, None)
    assert body.parent is not None
    assert body.parent.parent is None


def test_nodes_are_equal_when_they_are_the_same_element() -> None:
    """Equality is identity of the element, not of its markup."""
    one = page("<p>x</p><p>x</p>")
    first, second = one.css("p")
    assert first == one.first("p")
    assert first != second
    assert len({first, second, *one.css("p")}) == 2
    assert first != "p"


def test_html_and_repr() -> None:
    """A node gives its outer HTML, and shows tag and classes."""
    node = page().one("article.b p")
    assert node.html == '<p class="price">£1,053.74</p>'
    assert repr(node) == "<Node p.price>"
    assert repr(page()) == f"<Page 200 {URL}>"


# ---------------------------------------------------------------------------------------------- values


def test_text_is_collapsed_and_stripped() -> None:
    """Text is one line without white space around it, entities resolved."""
    assert page().text("h1") == "Books & more"
    assert page("<p> a\u00a0 b\n<i> c</i></p>").text("p") == "a b c"
    long = "word " * 50
    assert page(f"<p> {long}</p>").text("p") == long.strip()
    assert page(f"<p>{long}\n{long}</p>").text("p") == (long + long).strip()


def test_text_leaves_out_what_is_not_shown() -> None:
    """The text of script, style and template in an element is not its text; asked for itself, it is."""
    html = "<div>a<script>b</script><style>c</style><template>d</template><svg><style>e</style></svg>f</div>"
    assert page(html).text("div") == "af"
    assert page(html).text("script") == "b"
    assert page().text().startswith("Books & more First")


def test_line_breaks_and_blocks_separate_words() -> None:
    """Elements that a browser shows apart do not run together; inline ones do."""
    assert page("<div>a<br>b<p>c</p>d<ul><li>e</li><li>f</li></ul></div>").text("div") == "a b c d e f"
    assert page("<p><b>J</b>ohn <span>D</span>oe</p>").text("p") == "John Doe"
    assert page("<table><tr><td>1</td><td>2</td></tr></table>").text("table") == "1 2"


def test_raised_cents_do_not_join_the_price() -> None:
    """Digits set in a sup never silently make a number a hundred times bigger."""
    with pytest.raises(BadValue, match="51 77"):
        page("<p>51<sup>77</sup> €</p>").number("p")
    assert page("<p>10 m<sup>2</sup></p>").text("p") == "10 m2"


def test_text_without_a_match() -> None:
    """Without a match text gives the default, or an error that names selector and page."""
    assert page().text("h2", default="none") == "none"
    assert page().text("h2", default=None) is None
    with pytest.raises(NoMatch, match=r'"h2" on https://shop\.test'):
        page().text("h2")


def test_texts_gives_every_match() -> None:
    """texts gives the text of every match, empty ones included."""
    assert page().texts("p.stock") == ["In stock (22 available)", ""]
    assert page().texts("h2") == []


def test_text_of_a_node_itself() -> None:
    """Without a selector text and number mean the node itself."""
    node = page().one("p.price")
    assert node.text() == "£51.77"
    assert node.decimal() == Decimal("51.77")


def test_attr_of_matches_and_of_the_node() -> None:
    """attr reads an attribute of the first match, or with one argument the node's own."""
    shop = page()
    assert shop.attr("h3 a", "title") == "First"
    assert shop.one("h3 a").attr("title") == "First"
    assert shop.attrs("h3 a", "href") == ["a.html", "/b.html#top"]
    assert shop.attrs("h3 a", "title") == ["First"]


def test_attr_without_value_is_empty() -> None:
    """An attribute that is there without a value is the empty string."""
    assert page().attr("input", "disabled") == ""
    assert page().attr("input", "value") == ""


def test_attr_that_is_missing() -> None:
    """A missing attribute is like a missing match."""
    assert page().attr("h1", "id", default="-") == "-"
    assert page().one("h1").attr("id", default=None) is None
    with pytest.raises(NoMatch, match=r'"h1::attr\(id\)" on https'):
        page().attr("h1", "id")
    with pytest.raises(NoMatch, match=r"<Node h1> lacks ::attr\(id\) on https"):
        page().one("h1").attr("id")


def test_attr_of_a_page_needs_a_selector() -> None:
    """A page has no attributes of its own: the mistake is an error that shows the way."""
    with pytest.raises(TypeError, match=r'attr\("a", "href"\)'):
        page().attr("href")
    with pytest.raises(TypeError, match="attrs"):
        page().one("h1").attrs("href")


def test_number_and_decimal() -> None:
    """Numbers are read out of the text around them."""
    shop = page()
    assert shop.number("p.stock") == 22
    assert shop.decimal("article.b p.price") == Decimal("1053.74")
    assert shop.number("article::attr(id)") == 1


def test_number_errors_name_text_selector_and_page() -> None:
    """Text that is no number is an error naming the text, the selector and the URL."""
    with pytest.raises(BadValue) as caught:
        page().number("h1", default=0)
    assert "'Books & more'" in str(caught.value)
    assert '"h1"' in str(caught.value)
    assert URL in str(caught.value)


def test_number_default_stands_for_missing_and_empty() -> None:
    """The default is for no match and for an empty one."""
    shop = page()
    assert shop.number("h2", default=None) is None
    assert shop.decimal("article.b p.stock", default=None) is None
    with pytest.raises(NoMatch):
        shop.decimal("h2")
    with pytest.raises(BadValue, match="no number"):
        shop.decimal("article.b p.stock")


def test_decimal_point_of_the_page_and_of_the_call() -> None:
    """The page's decimal point holds unless a call names another."""
    german = page("<p>1.234,50 €</p>", decimal_point=",")
    assert german.decimal("p") == Decimal("1234.50")
    assert german.one("p").number() == 1234.5
    with pytest.raises(BadValue, match='set decimal_point = ","'):
        german.decimal("p", decimal_point=".")


# ---------------------------------------------------------------------------------------------- links


def test_links_are_absolute_and_distinct() -> None:
    """links gives absolute URLs in order, each once, without what is not http(s)."""
    html = (
        '<a href="x">1</a><a href="x#f">2</a><area href="//cdn.test/y">'
        '<a href="mailto:a@b">3</a><a href=" /z\n">4</a>'
    )
    assert page(html).links() == [
        "https://shop.test/list/x",
        "https://cdn.test/y",
        "https://shop.test/z",
    ]
    assert document_of(page(html)).counts == {}


def test_links_of_a_node_and_of_another_attribute() -> None:
    """links can be narrowed by node and selector, and can read any attribute."""
    shop = page('<div><a href=1>x</a></div><a href=2>y</a><img src="i.png">')
    assert shop.one("div").links() == ["https://shop.test/list/1"]
    assert shop.links("img::attr(src)") == ["https://shop.test/list/i.png"]


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        ('<base href="/other/">', "https://shop.test/other/x"),
        ('<base target="_top"><base href="//cdn.test/a/b">', "https://cdn.test/a/x"),
        ('<base href="/one/"><base href="/two/">', "https://shop.test/one/x"),
        ('<base href="javascript:1">', "https://shop.test/list/x"),
        ('<base href="http://[">', "https://shop.test/list/x"),
        ("<base>", "https://shop.test/list/x"),
    ],
)
def test_host_60_base_href_is_honoured_where_usable(base: str, expected: str) -> None:
    """Links are relative to the first base a browser would take, else to the page."""
    odd = page(f"<head>{base}</head><a href=x>x</a>")
    assert odd.links() == [expected]
    assert [r.url for r in odd.follow("a")] == [expected]
    assert [r.url for r in odd.request("x")] == [expected]


def test_host_60_broken_links_are_counted_and_good_ones_kept() -> None:
    """A thousand links no browser could follow cost nothing but themselves."""
    bad = '<a href="http://[">x</a>' * 1_000 + '<a href="javascript:x">y</a><a name=z>z</a>'
    hostile = page(bad + "<a href=/good>good</a>")
    assert [r.url for r in hostile.follow_all("a", spider.parse)] == ["https://shop.test/good"]
    assert document_of(hostile).counts == {"links.broken": 1_000, "links.scheme": 1, "links.no-href": 1}


def test_follow_takes_the_first_match() -> None:
    """follow gives one request for the first match, or none, always as Requests."""
    found = page().follow("h3 a", spider.parse)
    assert isinstance(found, Requests)
    assert [(r.url, r.options.callback) for r in found] == [("https://shop.test/list/a.html", "parse")]
    assert page().follow("a.none", spider.parse) == Requests()


def test_follow_takes_a_node_and_looks_into_it() -> None:
    """What is no link itself stands for the first link in it."""
    shop = page()
    assert shop.follow(shop.one("h3 a"))[0].url == "https://shop.test/list/a.html"
    assert shop.follow("li.next")[0].url == "https://shop.test/list/page.html?page=2"
    assert shop.follow("li.plain") == Requests()
    assert document_of(shop).counts == {"links.no-href": 1}


def test_follow_of_a_node_of_another_page_joins_there() -> None:
    """A node's link is relative to the page the node is from."""
    other = page("<a href=x>x</a>", url="https://other.test/deep/")
    assert page().follow(other.one("a"))[0].url == "https://other.test/deep/x"
    assert page().follow_all(other.css("a"))[0].url == "https://other.test/deep/x"


def test_follow_all_shares_one_options_object() -> None:
    """All requests of a follow_all have one options object."""
    found = page().follow_all("h3 a", spider.parse_book, "poetry", rank=2)
    assert len(found) == 2
    assert found[0].options is found[1].options
    assert json.loads(found[0].options.args or "") == {"category": "poetry", "rank": 2}


def test_follow_without_callback_repeats_the_one_now_running() -> None:
    """No callback means the same callback with the same data, and nothing else of the request."""
    posted = page(options=Options(callback="parse_list", args='{"shop":"x"}', method="POST", body=b"q"))
    [request] = posted.follow("li.next a")
    assert request.options == Options(callback="parse_list", args='{"shop":"x"}')


def test_follow_takes_nodes_from_any_iterable() -> None:
    """follow_all takes nodes that were chosen by hand."""
    shop = page()
    chosen = (node for node in shop.css("article") if node.number("p.price") > 100)
    assert [r.url for r in shop.follow_all(chosen)] == ["https://shop.test/b.html"]


def test_callback_data_is_bound_by_name() -> None:
    """Positional data gets the names of the callback's parameters; keyword collectors are flattened."""
    [request] = page().follow("h3 a", spider.parse_book, "poetry")
    assert json.loads(request.options.args or "") == {"category": "poetry"}
    parse_open: Any = spider.parse_open  # mypy takes no method with **keywords for a ParamSpec
    [request] = page().follow("h3 a", parse_open, colour="red")
    assert json.loads(request.options.args or "") == {"colour": "red"}
    [request] = page().follow("h3 a", parse_open)
    assert request.options.args is None


@pytest.mark.parametrize(
    ("callback", "args", "data", "message"),
    [
        (spider.parse_book, (), {}, r"parse_book\(\): missing a required argument: 'category'"),
        (spider.parse_book, ("a", 1, 2), {}, r"parse_book\(\): too many positional arguments"),
        (spider.parse_book, ("a",), {"colour": "red"}, r"parse_book\(\): got an unexpected keyword"),
        (spider.parse_many, ("a",), {}, r"parse_many\(\): .*rest"),
        (spider.parse_nothing, (), {}, r"parse_nothing\(\) takes no page"),
        (spider.parse_book, (object(),), {}, "parse_book.*category"),
        (lambda page: None, (), {}, "cannot be a callback"),
        (None, (), {"category": "x"}, "needs the callback"),
    ],
)
def test_bad_callbacks_and_data_name_the_callback(
    callback: Any, args: tuple[Any, ...], data: dict[str, Any], message: str
) -> None:
    """Data that does not fit the callback is a TypeError that names it, match or no match."""
    with pytest.raises(TypeError, match=message):
        page().follow("a.none", callback, *args, **data)


def test_request_joins_and_counts() -> None:
    """request takes a URL, relative or not, and never fails for a bad one."""
    shop = page()
    assert [r.url for r in shop.request("../x?q=1", spider.parse)] == ["https://shop.test/x?q=1"]
    assert [r.url for r in shop.request("https://b.test", spider.parse)] == ["https://b.test/"]
    assert shop.request("http://[", spider.parse) == Requests()
    assert shop.request("tel:1", spider.parse) == Requests()
    assert document_of(shop).counts == {"links.broken": 1, "links.scheme": 1}


def test_long_links_are_joined_all_the_same() -> None:
    """A link too long to remember is joined like any other."""
    assert page(f"<a href='/{'x' * 5_000}'>x</a>").links() == [f"https://shop.test/{'x' * 5_000}"]


# ---------------------------------------------------------------------------------------------- rows


class Pair(NamedTuple):
    name: str
    price: Decimal


def test_each_takes_every_shape_of_result() -> None:
    """A row may give nothing, one thing, several, or be a generator."""
    shop = page()
    answers = iter([None, {"a": 1}, [1, 2], Pair("x", Decimal(1)), "text", (n for n in (3, 4))])

    def row(node: Node) -> Any:
        return next(answers)

    six = page("<p>x</p>" * 6)
    assert list(six.each("p", row)) == [{"a": 1}, 1, 2, Pair("x", Decimal(1)), "text", 3, 4]
    assert list(shop.each("h2", row)) == []


def test_each_passes_data_on() -> None:
    """What follows the row function is passed to it."""

    def row(node: Node, currency: str, factor: int = 1) -> tuple[str, ...]:
        return (f"{node.text()} {currency} {factor}",)

    assert list(page("<p>1</p>").each("p", row, "EUR", factor=2)) == ["1 EUR 2"]


def test_each_isolates_a_failing_row() -> None:
    """A row that raises gives one FailedRow, none of its own results, and the others go on."""

    def row(node: Node) -> Iterator[object]:
        yield node.text("h3")
        yield node.number("p.stock")

    first, second, failed = page().each("article", row)
    assert (first, second) == ("First", 22)
    assert isinstance(failed, FailedRow)
    assert isinstance(failed.error, BadValue)
    assert (failed.selector, failed.index) == ("article", 1)
    assert failed.html.startswith('<article class="product b">')


def test_each_keeps_a_short_piece_of_html() -> None:
    """The HTML kept of a failed row is bounded."""

    def row(node: Node) -> None:
        raise ValueError("no")

    [failed] = page(f"<p>{'x' * 10_000}</p>").each("p", row)
    assert len(failed.html) == 500


@pytest.mark.parametrize("error", [Skip("enough"), BadSelector("no CSS")])
def test_each_lets_through_what_concerns_the_page(error: Exception) -> None:
    """A verdict, and a selector that is no CSS, are not a matter of one row."""

    def row(node: Node) -> None:
        raise error

    with pytest.raises(type(error)):
        list(page().each("article", row))


def test_each_refuses_async_rows() -> None:
    """A row function that would have to be awaited is an error before the first row."""

    async def row(node: Node) -> None: ...

    with pytest.raises(TypeError, match=r"row\(\) is async"):
        list(page().each("article", row))


# ---------------------------------------------------------------------------------------------- the page


@pytest.mark.parametrize(
    ("html", "kind"),
    [
        ("", "text/html"),
        ('{"a": "<a href=x>y</a>"}', "application/json"),
        ("\ufffdPNG\0\0<a href=x>", "image/png"),
        ('var a = "<a href=x>"', "text/javascript"),
    ],
)
def test_a_page_without_markup_matches_nothing(html: str, kind: str) -> None:
    """On an empty or foreign body selectors match nothing, and nothing raises."""
    odd = page(html, kind=kind)
    assert odd.css("*") == []
    assert odd.first("body") is None
    assert odd.links() == []
    assert odd.texts("a") == []
    assert odd.follow_all("a") == Requests()
    assert odd.text() == ""
    assert not odd.has("a")


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "application/xhtml+xml", "image/png", "application/octet-stream"]
)
def test_markup_is_known_by_its_first_character(kind: str) -> None:
    """A body that begins with a tag is parsed, whatever type a careless server declares."""
    assert page("\ufeff \n<p>x</p>", kind=kind).text("p") == "x"


def test_nothing_is_decoded_before_it_is_asked_for() -> None:
    """The body is decoded at the first selector, and once."""
    calls: list[int] = []

    def source() -> str:
        calls.append(1)
        return SHOP

    lazy = page(source=source)
    assert (lazy.url, lazy.status, lazy.body) == (URL, 200, SHOP.encode())
    assert not calls
    assert lazy.has("h1")
    assert lazy.source == SHOP
    document_of(lazy).root()
    assert len(calls) == 1


def test_json_is_read() -> None:
    """json() reads the body, also where only the page's own charset fits it."""
    assert page('{"a": [1]}', kind="application/json").json() == {"a": [1]}
    latin = page(body='"é"'.encode("latin-1"), source=lambda: '"é"')
    assert latin.json() == "é"


@pytest.mark.parametrize("text", ["", "<html>", "[" * 100_000, "1" * 5_000])
def test_bad_json_names_the_page(text: str) -> None:
    """A body that is no JSON is an error naming the page."""
    with pytest.raises(BadValue, match=r"not JSON: .* on https://shop\.test"):
        page(text).json()


def test_response_is_an_httpx_response() -> None:
    """response gives status, headers, body and request in httpx's terms, not to be decoded again."""
    headers = httpx.Headers(
        [("content-encoding", "gzip"), ("content-length", "3"), ("x-a", "1"), ("x-a", "2")]
    )
    response = page(headers=headers).response
    assert (response.status_code, response.content) == (200, SHOP.encode())
    assert "content-encoding" not in response.headers
    assert response.headers.get_list("x-a") == ["1", "2"]
    assert (response.request.method, str(response.request.url)) == ("GET", URL)


class Recorder:
    """A fetcher that answers with a page at the URL it was asked for."""

    def __init__(self) -> None:
        self.asked: list[Request] = []

    async def __call__(self, request: Request) -> Page:
        self.asked.append(request)
        return page(url=request.url)


async def test_fetch_joins_and_delegates() -> None:
    """fetch hands an absolute request to the crawl and gives its page."""
    fetcher = Recorder()
    shop = page(fetcher=fetcher)
    assert (await shop.fetch("b.html")).url == "https://shop.test/list/b.html"
    await shop.fetch(Request("/search", form={"q": "x"}))
    assert [(r.url, r.options.method) for r in fetcher.asked] == [
        ("https://shop.test/list/b.html", "GET"),
        ("https://shop.test/search", "POST"),
    ]


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("http://[", "bad-url"),
        ("mailto:a@b", "unsupported-scheme"),
        ("file:///etc/passwd", "unsupported-scheme"),
    ],
)
async def test_sec_20_fetch_refuses_other_schemes(url: str, kind: str) -> None:
    """fetch never hands on what is not http(s)."""
    fetcher = Recorder()
    with pytest.raises(FetchError) as caught:
        await page(fetcher=fetcher).fetch(url)
    assert caught.value.kind == kind
    assert fetcher.asked == []


async def test_fetch_without_a_network() -> None:
    """A page that was not fetched in a crawl says that it cannot fetch."""
    with pytest.raises(PageError, match="without a network"):
        await page().fetch("x")


def test_pages_are_freed_without_the_collector() -> None:
    """A page that was used is freed with its last reference: memory does not wait for a collection."""

    class Source:
        def __call__(self) -> str:
            return SHOP

    source = Source()
    alive = weakref.ref(source)
    gc.disable()
    try:
        used = page(source=source)
        used.follow_all("a")
        used.one("article").number("p.stock")
        del used, source
        assert alive() is None
    finally:
        gc.enable()


def test_deep_markup_is_read_without_recursion() -> None:
    """Text is collected from any depth of elements."""
    assert page("<p>" + "<b><i>" * 2_000 + "x").text("body") == "x"
