// Draws the guide's figures: in the colours of the page's theme, and in the layout that fits its width.
"use strict";
(() => {
  const prefersDark = window.matchMedia("(prefers-color-scheme: dark)");
  const slim = window.matchMedia("(max-width: 640px)");
  const fontFamily = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif';
  const figures = [...document.querySelectorAll(".guide-plot")].map((place) => ({
    place,
    ...JSON.parse(place.nextElementSibling.textContent),
  }));

  const theme = () => {
    const chosen = document.body.dataset.theme; // furo's switch: light, dark or auto
    return chosen === "dark" || (chosen !== "light" && prefersDark.matches) ? "dark" : "light";
  };

  function draw() {
    for (const figure of figures) {
      const colours = figure.themes[theme()];
      const layout = structuredClone(slim.matches ? figure.narrow : figure.wide);
      layout.paper_bgcolor = layout.plot_bgcolor = "rgba(0,0,0,0)";
      layout.font = { family: fontFamily, size: 12, color: colours.text };
      layout.hoverlabel = { bgcolor: colours.ground, bordercolor: colours.line, font: { color: colours.text }, align: "left" };
      layout.dragmode = false; // a finger that scrolls the page must not zoom
      layout.autosize = true;
      for (const [name, axis] of Object.entries(layout)) {
        if (/^[xy]axis\d*$/.test(name)) {
          Object.assign(axis, { gridcolor: colours.grid, linecolor: colours.line, tickcolor: colours.line, zerolinecolor: colours.line });
        }
      }
      Plotly.react(figure.place, figure.data, layout, { responsive: true, displayModeBar: false });
    }
    document.documentElement.dataset.drawn = theme();
  }

  draw();
  slim.addEventListener("change", draw);
  prefersDark.addEventListener("change", draw);
  new MutationObserver(draw).observe(document.body, { attributeFilter: ["data-theme"] });
})();
