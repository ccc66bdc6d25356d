(() => {
  // What would trouble a reader of this page; an empty list where nothing would.
  const wrong = [];
  const say = (text, element) => wrong.push(`${text}: ${element.outerHTML.slice(0, 90)}`);
  const shown = (element) => element.getClientRects().length > 0 && getComputedStyle(element).visibility !== "hidden";

  if (!document.documentElement.lang) wrong.push("the page doesn't say its language");
  if (!document.title) wrong.push("the page has no title");
  const across = document.documentElement.scrollWidth - innerWidth;
  if (across > 1) {
    const wide = [...document.querySelectorAll("body *")].filter((e) => shown(e) && e.getBoundingClientRect().right > innerWidth + 1);
    wrong.push(`the page is ${across} pixels wider than its window`);
    if (wide.length) say("it reaches out", wide[0]);
  }

  let level = 0;
  for (const heading of document.querySelectorAll("h1, h2, h3, h4, h5, h6")) {
    if (!shown(heading)) continue;
    const next = Number(heading.tagName[1]);
    if (next > level + 1) say(`a heading of level ${next} follows one of level ${level}`, heading);
    level = next;
  }
  if (document.querySelectorAll("h1").length !== 1) wrong.push("there isn't one h1");

  for (const image of document.querySelectorAll("img")) if (!image.alt.trim()) say("a picture without words", image);
  for (const drawn of document.querySelectorAll("svg[role=img]"))
    if (!(drawn.getAttribute("aria-label") ?? "").trim() && !drawn.closest("[aria-hidden=true]") && !drawn.parentElement.querySelector("mjx-assistive-mml")) say("a drawing without words", drawn);
  for (const control of document.querySelectorAll("button, select, input"))
    if (shown(control) && !(control.textContent + (control.ariaLabel ?? "") + (control.placeholder ?? "") + (control.labels?.[0]?.textContent ?? "")).trim())
      say("a control without a name", control);
  for (const box of document.querySelectorAll(".scroll, .diagram > div, pre, .table-wrapper, div.math"))
    if (box.scrollWidth > box.clientWidth + 1 && getComputedStyle(box).overflowX !== "visible" && box.tabIndex < 0)
      say("what scrolls can't be reached by the keyboard", box);

  for (const drawn of document.querySelectorAll("svg.m, svg.d")) {
    if (!shown(drawn)) continue;
    const [width, most] = [drawn.getBoundingClientRect().width, drawn.style.maxWidth];
    drawn.style.maxWidth = "none";
    if (width < 0.75 * drawn.getBoundingClientRect().width) say("a formula is smaller than its text", drawn);
    drawn.style.maxWidth = most;
  }

  // Contrast of text, and of formulas drawn in its colour: WCAG 2.2, 1.4.3.
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const known = new Map();
  const parsed = (colour) => {
    if (!known.has(colour)) {
      canvas.clearRect(0, 0, 1, 1);
      canvas.fillStyle = colour;
      canvas.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
      known.set(colour, [r, g, b, a / 255]);
    }
    return known.get(colour);
  };
  const over = (top, below, alpha = top[3]) => [0, 1, 2].map((k) => top[k] * alpha + below[k] * (1 - alpha));
  const behind = (element) => {
    const layers = [];
    for (let e = element; e; e = e.parentElement) {
      const style = getComputedStyle(e);
      if (style.backgroundImage !== "none") return null;
      layers.push(parsed(style.backgroundColor));
      if (layers.at(-1)[3] === 1) break;
    }
    const ground = matchMedia("(prefers-color-scheme: dark)").matches && getComputedStyle(document.documentElement).colorScheme.includes("dark") ? [18, 18, 18] : [255, 255, 255];
    return layers.reduceRight((below, layer) => over(layer, below), ground);
  };
  const light = (colour) => {
    const [r, g, b] = colour.map((v) => ((v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const faint = new Set();
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const elements = new Set(document.querySelectorAll("svg.m, svg.d, mjx-container"));
  while (texts.nextNode()) if (texts.currentNode.data.trim()) elements.add(texts.currentNode.parentElement);
  for (const element of elements) {
    if (!shown(element) || element.closest("script, style, noscript, title, [aria-hidden=true], .js-plotly-plot")) continue;
    const style = getComputedStyle(element);
    const ground = behind(element);
    if (!ground) continue;
    let alpha = parsed(style.color)[3];
    for (let e = element; e; e = e.parentElement) alpha *= Number(getComputedStyle(e).opacity);
    if (alpha === 0) continue;
    const [dark, bright] = [light(over(parsed(style.color), ground, alpha)), light(ground)].sort((a, b) => a - b);
    const ratio = (bright + 0.05) / (dark + 0.05);
    const size = parseFloat(style.fontSize);
    const least = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700) ? 3 : 4.5;
    const key = `${style.color} ${ground}`;
    if (ratio < least && !faint.has(key)) {
      faint.add(key);
      say(`contrast ${ratio.toFixed(2)} of ${style.color} on rgb(${ground.map(Math.round)})`, element);
    }
  }
  return wrong;
})()
