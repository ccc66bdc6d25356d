"use strict";
// Colours a text by the unit that a reader chooses; each letter says its value.
for (const figure of document.querySelectorAll("figure.coloured")) {
  const { names, rows, levels, colours } = JSON.parse(figure.querySelector("script").textContent);
  const letters = [...figure.querySelectorAll("pre span")];
  const choice = figure.querySelector("select");
  const show = () => {
    const row = Uint8Array.from(atob(rows[choice.selectedIndex]), (c) => c.charCodeAt(0));
    letters.forEach((letter, place) => {
      const level = (row[place] << 24) >> 24;
      letter.style.background = colours[level + levels];
      letter.title = `${names[choice.selectedIndex]}: ${(level / levels).toFixed(2)}`;
    });
  };
  for (const button of figure.querySelectorAll("button"))
    button.addEventListener("click", () => { choice.selectedIndex = Number(button.value); show(); });
  choice.addEventListener("change", show);
  figure.classList.add("live");
  show();
}
