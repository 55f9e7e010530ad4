"use strict";
(() => {
  const themes = JSON.parse(document.getElementById("themes").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const slim = window.matchMedia("(max-width: 720px)");
  const fontFamily = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif';
  const figures = [...document.querySelectorAll(".figure")].map((place) => ({
    place,
    ...JSON.parse(document.getElementById(place.id.replace("figure-", "data-")).textContent),
  }));

  function themed(given, theme) {
    const layout = structuredClone(given);
    layout.paper_bgcolor = layout.plot_bgcolor = "rgba(0,0,0,0)";
    layout.font = { family: fontFamily, size: 12, color: theme.text };
    layout.hoverlabel = { bgcolor: theme.ground, bordercolor: theme.line, font: { color: theme.text, size: 12 }, align: "left" };
    layout.modebar = { bgcolor: "rgba(0,0,0,0)", color: theme.line, activecolor: theme.text };
    for (const [name, axis] of Object.entries(layout)) {
      if (/^[xy]axis\d*$/.test(name)) {
        Object.assign(axis, { gridcolor: theme.grid, linecolor: theme.line, tickcolor: theme.line, zerolinecolor: theme.line });
      }
    }
    return layout;
  }

  function draw(printing = false) {
    const theme = themes[dark.matches && !printing ? "dark" : "light"];
    for (const figure of figures) {
      const narrow = slim.matches && !printing;
      const layout = themed(narrow ? figure.narrow : figure.wide, theme);
      layout.dragmode = narrow ? false : "zoom"; // a finger that scrolls the page must not zoom
      if (printing) layout.width = 1060; // the style sheet brings it to the width of a page
      Plotly.react(figure.place, figure.data, layout, {
        responsive: !printing,
        displaylogo: false,
        displayModeBar: narrow ? false : "hover",
        modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
      });
    }
    document.documentElement.dataset.drawn = printing ? "print" : theme === themes.dark ? "dark" : "light";
  }

  function sort(table, column, head) {
    const numbers = head.classList.contains("number");
    const before = head.getAttribute("aria-sort");
    const first = numbers ? "descending" : "ascending";
    const way = before === "none" ? first : before === "ascending" ? "descending" : "ascending";
    for (const other of head.parentElement.children) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", way);
    const sign = way === "ascending" ? 1 : -1;
    const rows = [...table.tBodies[0].rows].map((row) => [row.cells[column].dataset.order, row]);
    const compare = (a, b) => {
      const x = Number(a), y = Number(b);
      if (!Number.isNaN(x) && !Number.isNaN(y)) return x === y ? 0 : x < y ? -1 : 1;
      return a.localeCompare(b);
    };
    rows.sort(([a], [b]) => (a === "" || b === "" ? (a === "") - (b === "") : sign * compare(a, b)));
    table.tBodies[0].append(...rows.map(([, row]) => row));
  }

  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
    heads.forEach((head, column) => head.firstElementChild.addEventListener("click", () => sort(table, column, head)));
  }
  const results = document.getElementById("results-table");
  const held = results.tHead.rows[results.tHead.rows.length - 1].querySelectorAll("th.text").length - 1;
  for (const row of results.rows) {
    if (!row.classList.contains("groups")) row.cells[held].classList.add("held");
  }
  for (const cell of results.querySelectorAll("td.is-test_accuracy")) {
    cell.style.setProperty("--share", `${100 * Number(cell.dataset.order)}%`);
  }
  for (const button of document.querySelectorAll(".more")) {
    const table = document.getElementById(button.dataset.table);
    const all = button.textContent;
    const set = (short) => {
      table.classList.toggle("shortened", short);
      button.textContent = short ? all : `Show the first ${button.dataset.first}`;
      button.setAttribute("aria-expanded", String(!short));
    };
    set(true);
    button.addEventListener("click", () => set(!table.classList.contains("shortened")));
  }

  draw();
  dark.addEventListener("change", () => draw());
  slim.addEventListener("change", () => draw());
  window.addEventListener("beforeprint", () => draw(true));
  window.addEventListener("afterprint", () => draw());
})();
