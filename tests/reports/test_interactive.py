"""Interactive plots: their data, and a page of them in a browser without a network."""

import json
import re
import shutil
import subprocess

import numpy as np
import pytest

from bptt.reports.document import Document
from bptt.reports.figures import drawn, picture
from bptt.reports.html import html_page
from bptt.reports.interactive import scripts, specification
from bptt.reports.plots import MOST_POINTS, Curve, Panel, Plot, limits, thinned

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
X = np.array([0.5, 1.0, 2.0, 4.0])
NOTHING = np.full(4, np.nan)


def curve(name="a </script> b", mean=(0.0, 1.0, 2.0, 3.0), half=0.5, **more):
    values = np.array(mean)
    return Curve(name, X, values, values - half, values + half, "#0072B2", **more)


def plot(*curves, panels=1):
    return Plot(tuple(Panel(f"panel {n}", curves) for n in range(panels)), "gain (of weights)", "growth", log_x=True)


def page(*plots):
    figures = tuple(picture(one, 'a plot of "growth" & <gain>', ("A caption.",)) for one in plots)
    return html_page(Document("Plots", "Test", (), figures))


@pytest.mark.parametrize(("log_y", "shown"), [(False, "0 (0 to 0.100)"), (True, "7.0e−18 (6.0e−18 to 0.100)")])
def test_what_rounding_leaves_of_0_reads_0_but_on_a_logarithmic_scale(log_y, shown):
    mean, low, high = np.array([[7e-18, 0.2], [6e-18, 0.1], [0.1, 0.3]])
    one = Curve("a", X[:2], mean, low, high, "#0072B2")
    found = json.loads(specification(Plot((Panel("", (one,)),), "lag", "norm", log_y=log_y)))
    assert found["traces"][-1]["text"][0] == f"a, lag 0.5: {shown}"


def test_numbers_are_those_of_the_curve():
    found = json.loads(specification(plot(curve())))
    band, line = found["traces"]
    assert line["y"] == [0, 1, 2, 3] and line["text"][1] == "a </script> b, gain 1: 1.00 (0.500 to 1.50)"
    assert band["y"][:4] == [0.5, 1.5, 2.5, 3.5] and band["y"][4:] == [2.5, 1.5, 0.5, -0.5]


def test_what_is_not_finite_is_never_a_number():
    broken = curve(mean=(-np.inf, 1.0, np.inf, np.nan))
    text = specification(plot(broken))
    assert "NaN" not in text and "Infinity" not in text
    traces = json.loads(text)["traces"]
    assert [trace["marker"]["symbol"] for trace in traces[1:] if trace["mode"] == "markers"] == [
        "triangle-down",
        "triangle-up",
    ]
    assert "−∞" in traces[-2]["text"][0] and b"<svg" in drawn(plot(broken))


def test_nothing_finite_still_gives_a_plot():
    empty = curve(mean=(np.nan,) * 4)
    assert limits(plot(empty)) == (-1.0, 1.0)
    assert b"<svg" in drawn(plot(empty)) and json.loads(specification(plot(empty)))["traces"]


def test_long_curves_are_thinned_but_keep_their_ends():
    x = np.arange(10_001.0)
    short = thinned(Curve("a", x, -x, -x, -x, "#000000"))
    assert len(short.x) <= MOST_POINTS and short.x[[0, -1]].tolist() == [0, 10_000]


def test_the_page_needs_nothing_from_outside():
    html = page(plot(curve()))
    own = html.split("<script>")[0]
    assert not re.search(r'(?:src|href)="(?!data:|#)', own) and "@import" not in own and "url(" not in own
    assert html.count("Permission is hereby granted") == 1  # the licence goes where the code goes
    assert 'aria-label="a plot of &quot;growth&quot; &amp; &lt;gain&gt;"' in html
    assert html_page(Document("T", "K", (), ())).count("<script") == 0


def test_the_licence_is_the_bundles_own():
    bundle, own = scripts()
    assert "MIT License" in bundle[:100] and "Plotly, Inc." in bundle[:3000]
    assert "</script" not in bundle + own


USE = """<script>
addEventListener("load", () => setTimeout(() => {
  const figure = document.querySelector("figure.plot");
  figure.querySelector(".canvas").dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight" }));
  const said = figure.querySelector(".said").textContent;
  const shown = () => figure.querySelectorAll(".canvas .scatterlayer .js-line").length;
  const before = shown();
  figure.querySelector(".legend button").click();
  setTimeout(() => {
    const all = [...document.querySelectorAll("figure.plot, figure.plot *")];
    const wide = Math.max(...all.map((element) => element.getBoundingClientRect().right));
    document.title = JSON.stringify({ said, before, after: shown(), wide: Math.round(wide), page: innerWidth,
      overflow: document.documentElement.scrollWidth, plots: document.querySelectorAll(".plot.live .main-svg").length,
      tab: figure.querySelector(".canvas").tabIndex, requests: performance.getEntriesByType("resource").length });
  }, 500);
}, 500));
</script>"""


@pytest.mark.skipif(BROWSER is None, reason="chromium is not installed")
@pytest.mark.parametrize("width", [1200, 400])
def test_in_a_browser_without_a_network(width, tmp_path):
    two = plot(curve("one", half=0.0), curve("two", mean=(-np.inf, 1.0, 1.0, np.inf)), panels=2)
    (tmp_path / "inner.html").write_text(page(two, plot(curve("x" * 60))).replace("</body>", f"{USE}</body>"))
    frame = f'<iframe src="inner.html" style="border:0;width:{width}px;height:900px"></iframe>'
    copy = "<script>setInterval(() => document.title = frames[0].document.title, 100)</script>"
    (tmp_path / "page.html").write_text(f"<body>{frame}{copy}</body>")
    command = [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"]
    command += ["--allow-file-access-from-files", "--virtual-time-budget=6000", "--host-resolver-rules=MAP * ~NOTFOUND"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width + 40},1000"]
    done = subprocess.run([*command, f"file://{tmp_path}/page.html"], capture_output=True, text=True, timeout=120)
    assert "CONSOLE" not in done.stderr, done.stderr
    title = done.stdout.partition("<title>")[2].partition("</title>")[0]
    found = json.loads(title.replace("&quot;", '"'))
    assert found["said"].startswith("panel 0, one, gain 0.5: 0;") and "panel 1, two, gain 0.5: −∞" in found["said"]
    assert found["after"] < found["before"] and found["plots"] >= 2 and found["tab"] == 0
    assert found["requests"] == 0
    assert found["wide"] <= width and found["overflow"] <= width
