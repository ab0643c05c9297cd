"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const table = document.getElementById("table");
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const rows = [...body.rows];
  const columns = heads.map((head) => head.dataset.column);
  const titles = heads.map((head) => head.textContent.trim());
  const element = (name, text) => Object.assign(document.createElement(name), { textContent: text });
  const rowOf = (number) => document.getElementById(`f${number}`);
  const nameOf = (row) => row.cells[1].textContent;
  const cellText = (cell) => (
    cell.children.length ? [...cell.children].map((part) => part.textContent).join("; ") : cell.textContent
  );

  // Sorting: numbers by value, names as people count, empty cells last in both directions.
  const names = new Intl.Collator(undefined, { numeric: true });
  const words = new Set(["name", "status", "reasons", "dark", "date_obs"]);
  const select = document.getElementById("sort");
  let sorted = "";
  let descending = false;

  const sort = (column, down) => {
    sorted = column;
    descending = down;
    const place = columns.indexOf(column);
    const keys = new Map(rows.map((row, number) => {
      const text = column ? row.cells[place].textContent.trim() : "";
      return [row, column ? (words.has(column) ? text : Number.parseFloat(text.replace("–", ""))) : number];
    }));
    const missing = (key) => key === "" || Number.isNaN(key);
    const compare = (one, other) => {
      const [a, b] = [keys.get(one), keys.get(other)];
      if (missing(a) || missing(b)) return missing(a) - missing(b);
      const order = typeof a === "string" ? names.compare(a, b) : a - b;
      return down ? -order : order;
    };
    body.append(...[...rows].sort(compare));
    heads.forEach((head, at) => {
      if (!head.dataset.column) return;
      head.setAttribute("aria-sort", at === place ? (down ? "descending" : "ascending") : "none");
    });
    select.value = column;
  };

  for (const head of heads.filter((one) => one.dataset.column)) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    head.setAttribute("aria-sort", "none");
    const column = head.dataset.column;
    button.addEventListener("click", () => sort(column, sorted === column && !descending));
    select.append(Object.assign(element("option", button.textContent), { value: column }));
  }
  select.addEventListener("change", () => sort(select.value, false));

  // Filtering by text and status.
  const find = document.getElementById("find");
  const boxes = [...document.querySelectorAll("#controls [type=checkbox]")];
  const texts = new Map();
  const textOf = (row) => {
    if (!texts.has(row)) texts.set(row, row.textContent.toLowerCase());
    return texts.get(row);
  };
  const filter = () => {
    const wanted = find.value.trim().toLowerCase();
    const on = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
    let count = 0;
    for (const row of rows) {
      row.hidden = !(on.has(row.className) && (!wanted || textOf(row).includes(wanted)));
      count += !row.hidden;
    }
    document.getElementById("shown").textContent = `${count} of ${rows.length} shown`;
  };
  find.addEventListener("input", filter);
  for (const box of boxes) box.addEventListener("change", filter);
  document.getElementById("controls").hidden = false;
  filter();

  // A frame in large.
  const dialog = document.getElementById("large");
  let current = null;
  const show = (row) => {
    current = row;
    const picture = row.querySelector(".thumb");
    dialog.querySelector(".picture").replaceChildren(...[...picture.childNodes].map((node) => node.cloneNode(true)));
    const image = dialog.querySelector("img");
    if (image) image.alt = nameOf(row);
    dialog.querySelector("h3").textContent = nameOf(row);
    dialog.querySelector("dl").replaceChildren(...titles.flatMap((title, at) => {
      const text = at < 2 ? "" : cellText(row.cells[at]);
      if (!text) return [];
      const entry = element("div", "");
      entry.append(element("dt", title), element("dd", text));
      if (columns[at] === "reasons") entry.className = "wide";
      return [entry];
    }));
    if (!dialog.open) dialog.showModal();
  };
  const step = (by) => {
    const shown = [...body.rows].filter((row) => !row.hidden && row.querySelector(".thumb"));
    const next = shown[shown.indexOf(current) + by];
    if (next) show(next);
  };
  body.addEventListener("click", (event) => {
    const button = event.target.closest(".thumb");
    if (button) show(button.closest("tr"));
  });
  for (const button of dialog.querySelectorAll("[data-step]")) {
    button.addEventListener("click", () => step(Number(button.dataset.step)));
  }
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });

  // Charts: the frame under the pointer, or moved to by the arrow keys.
  const tip = document.getElementById("tip");
  const explain = (chart, point, column) => {
    const row = rowOf(point.number);
    const cursor = chart.querySelector(".cursor");
    cursor.style.left = `${point.x / 10}%`;
    cursor.style.top = `${point.y / 10}%`;
    cursor.hidden = false;
    const text = document.createElement("div");
    const value = (name) => {
      const at = columns.indexOf(name);
      return element("span", `${titles[at]}: ${row.cells[at].textContent.trim()}`);
    };
    text.append(element("b", nameOf(row)), ...(column ? [value(column)] : [value("shift_x_px"), value("shift_y_px")]));
    text.append(element("span", row.cells[2].textContent.trim()));
    const reasons = cellText(row.cells[3]);
    if (reasons) text.append(element("small", reasons));
    const image = row.querySelector("img");
    tip.replaceChildren(...(image ? [image.cloneNode()] : []), text);
    tip.hidden = false;
    const at = cursor.getBoundingClientRect();
    const size = tip.getBoundingClientRect();
    const left = Math.min(Math.max(8, at.left + 20), document.documentElement.clientWidth - size.width - 8);
    const above = at.top - size.height - 10;
    tip.style.left = `${left + window.scrollX}px`;
    tip.style.top = `${(above > 4 ? above : at.bottom + 10) + window.scrollY}px`;
  };
  for (const chart of document.querySelectorAll(".chart")) {
    const column = chart.dataset.column;
    const points = column
      ? data.x.flatMap((x, number) => {
        const y = data.series[column][number];
        return y === null ? [] : [{ number, x, y }];
      }).sort((one, other) => one.x - other.x)
      : data.drift[chart.dataset.drift].map(([number, x, y]) => ({ number, x, y }));
    const plot = chart.querySelector(".plot");
    let at = -1;
    const leave = () => {
      at = -1;
      chart.querySelector(".cursor").hidden = true;
      tip.hidden = true;
    };
    plot.addEventListener("pointermove", (event) => {
      const box = plot.getBoundingClientRect();
      const far = (point) => Math.hypot(
        (point.x / 1000) * box.width - (event.clientX - box.left),
        ((point.y / 1000) * box.height - (event.clientY - box.top)) / (column ? 4 : 1),
      );
      at = points.reduce((best, point, k) => (far(point) < far(points[best]) ? k : best), 0);
      explain(chart, points[at], column);
    });
    plot.addEventListener("pointerleave", leave);
    chart.addEventListener("blur", leave);
    chart.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (event.key === "Escape") leave();
      if (!by) return;
      event.preventDefault();
      at = Math.min(Math.max(at + by, 0), points.length - 1);
      explain(chart, points[at], column);
    });
  }

  // Other limits.
  const trial = document.getElementById("trial");
  const inputs = [...trial.querySelectorAll("input")];
  const count = () => {
    const accepted = data.graded.filter((values) => inputs.every((input, k) => {
      const limit = Number(input.value);
      if (values[k] === null || input.value === "") return true;
      return "least" in input.dataset ? values[k] >= limit : values[k] <= limit;
    }));
    trial.querySelector("output").textContent = `${accepted.length} of ${data.graded.length} frames accepted`;
  };
  trial.addEventListener("input", count);
  trial.addEventListener("submit", (event) => event.preventDefault());
  trial.hidden = false;
  count();
})();
