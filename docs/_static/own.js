"use strict";
// What scrolls sideways can be reached, and scrolled, with the keyboard.
const reach = () => {
  for (const box of document.querySelectorAll("pre, .table-wrapper, div.math, mjx-container[display]"))
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
};
addEventListener("load", () => {
  reach();
  globalThis.MathJax?.startup?.promise?.then(reach);
});
addEventListener("resize", reach);
