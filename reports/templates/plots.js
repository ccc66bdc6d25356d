"use strict";
// Draws every figure that carries data: as wide as its place, with a legend of buttons and values read by arrow keys.
for (const figure of document.querySelectorAll("figure.plot")) {
  const plot = JSON.parse(figure.querySelector("script").textContent);
  const canvas = figure.querySelector(".canvas");
  const said = figure.querySelector(".said");
  const isNarrow = () => figure.clientWidth < 560;
  const layout = () => structuredClone(isNarrow() ? plot.narrow : plot.wide);
  const hidden = new Set();
  let narrow = isNarrow();
  figure.classList.add("live");
  Plotly.newPlot(canvas, plot.traces, layout(), { displayModeBar: false, scrollZoom: false });

  const legend = figure.querySelector(".legend");
  for (const { name, colour, dash } of plot.legend) {
    const button = document.createElement("button");
    const gaps = { solid: "", dash: "7 3", dot: "2 3", dashdot: "7 3 2 3" }[dash] ?? "4 3";
    button.type = "button";
    button.setAttribute("aria-pressed", "true");
    button.innerHTML = `<svg width="26" height="8" aria-hidden="true"><line x1="0" x2="26" y1="4" y2="4" stroke="${colour}" stroke-width="2.5" stroke-dasharray="${gaps}"/></svg>`;
    button.append(name);
    button.addEventListener("click", () => {
      hidden.has(name) ? hidden.delete(name) : hidden.add(name);
      button.setAttribute("aria-pressed", String(!hidden.has(name)));
      Plotly.restyle(canvas, { visible: plot.traces.map((trace) => !hidden.has(trace.name)) });
    });
    legend.append(button);
  }

  let place = -1;
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (event.key === "Escape") Plotly.Fx.unhover(canvas);
    if (!step) return;
    event.preventDefault();
    const shown = plot.traces.flatMap((trace, number) => (trace.meta === "read" && !hidden.has(trace.name) ? [number] : []));
    if (!shown.length) return;
    const length = Math.max(...shown.map((number) => plot.traces[number].text.length));
    place = Math.min(Math.max(place + step * (event.shiftKey ? 10 : 1), 0), length - 1);
    const read = shown.filter((number) => place < plot.traces[number].text.length);
    const drawn = read.filter((number) => plot.traces[number].y[place] !== null);
    const axes = drawn.map((number) => plot.traces[number].xaxis.replace(/x1?$/, "x") + plot.traces[number].yaxis.replace(/y1?$/, "y"));
    if (drawn.length) Plotly.Fx.hover(canvas, drawn.map((number) => ({ curveNumber: number, pointNumber: place })), [...new Set(axes)]);
    said.textContent = read.map((number) => plot.traces[number].text[place]).join("; ");
  });
  canvas.addEventListener("blur", () => Plotly.Fx.unhover(canvas));

  new ResizeObserver(() => {
    if (isNarrow() === narrow) return Plotly.Plots.resize(canvas);
    narrow = isNarrow();
    Plotly.react(canvas, canvas.data, layout());
  }).observe(figure);
}
