// Reads values off the curves under the pointer, and unfolds everything for print. The page is whole without it.
"use strict";
for (const area of document.querySelectorAll(".reader")) {
  const svg = area.ownerSVGElement;
  const [xLow, xHigh, xStart, xEnd] = area.dataset.x.split(" ").map(Number);
  const [yLow, yHigh, yStart, yEnd, yKind] = area.dataset.y.split(" ").map((part) => (isNaN(part) ? part : Number(part)));
  const curves = [...svg.querySelectorAll(".curve[data-name]")].map((path) => ({
    path,
    // "H12V30" and "L12 30" alike: pairs of places, in the order of x
    points: path.getAttribute("d").match(/-?[\d.]+/g).map(Number),
  }));
  const readout = document.createElement("p");
  readout.className = "readout";
  svg.after(readout);
  const cursor = document.createElementNS(svg.namespaceURI, "path");
  cursor.setAttribute("class", "cursor");
  svg.append(cursor);
  const share = (y) => {
    const part = (y - yStart) / (yEnd - yStart);
    const value = yKind === "log" ? yLow * (yHigh / yLow) ** part : yLow + part * (yHigh - yLow);
    return (100 * value).toPrecision(3).replace(/\.?0+$/, "") + " %";
  };
  area.addEventListener("pointermove", (event) => {
    const x = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse()).x;
    const ms = 1e3 * xLow * (xHigh / xLow) ** ((x - xStart) / (xEnd - xStart));
    const said = [];
    for (const { path, points } of curves) {
      if (getComputedStyle(path).display === "none") continue;
      let y = null;
      for (let i = 0; i + 1 < points.length && points[i] <= x; i += 2) y = points[i + 1];
      if (y !== null) said.push(`${path.dataset.name} ${share(y)}`);
    }
    cursor.setAttribute("d", `M${x} ${yStart}V${yEnd}`);
    readout.textContent = `${ms < 1 ? ms.toPrecision(3) : ms < 100 ? ms.toFixed(1) : ms.toFixed(0)} ms: ${said.join(", ")}`;
  });
  area.addEventListener("pointerleave", () => {
    cursor.setAttribute("d", "");
    readout.textContent = "";
  });
}
let unfolded = [];
addEventListener("beforeprint", () => {
  unfolded = [...document.querySelectorAll("details:not([open])")];
  for (const part of unfolded) part.open = true;
});
addEventListener("afterprint", () => {
  for (const part of unfolded) part.open = false;
});
