// Figures: what the nearest point stands for, under the pointer, a tap or the arrow keys; zoom; series to show or hide. Tables: sorting. The chooser.
(() => {
  "use strict";
  const tip = document.getElementById("tip");
  const ring = document.createElement("div");
  ring.className = "ring";
  const REACH = 28; // pixels from the pointer to a point

  function hide() {
    tip.hidden = true;
    ring.remove();
  }

  function show(plot, [x, y, text]) {
    const box = plot.getBoundingClientRect();
    ring.style.left = 100 * x + "%";
    ring.style.top = 100 * y + "%";
    plot.append(ring);
    tip.textContent = text;
    tip.hidden = false;
    const px = box.left + x * box.width, py = box.top + y * box.height;
    const left = px + 14 + tip.offsetWidth > innerWidth ? px - 14 - tip.offsetWidth : px + 14;
    tip.style.left = Math.max(left, 4) + "px";
    tip.style.top = Math.max(py - tip.offsetHeight - 10, 4) + "px";
  }

  const button = (text, action) => {
    const made = Object.assign(document.createElement("button"), { type: "button", className: "small", textContent: text });
    made.addEventListener("click", () => action(made));
    return made;
  };
  const controls = (plot, label, ...buttons) => {
    const row = Object.assign(document.createElement("div"), { className: "controls" });
    row.setAttribute("role", "group");
    row.setAttribute("aria-label", label);
    row.append(...buttons);
    plot.parentElement.querySelector("figcaption").before(row);
  };

  // One button per series; tell(name, visible) when one is pressed.
  function legend(plot, tell) {
    const parts = new Map();
    for (const part of plot.querySelectorAll("[data-series]")) {
      const name = part.dataset.series;
      parts.set(name, [...(parts.get(name) ?? []), part]);
    }
    if (parts.size < 2) return;
    const buttons = [...parts].map(([name, drawn]) => {
      const one = button(name, () => {
        const visible = one.getAttribute("aria-pressed") !== "true";
        one.setAttribute("aria-pressed", visible);
        for (const part of drawn) part.style.display = visible ? "" : "none";
        tell(name, visible);
      });
      one.setAttribute("aria-pressed", "true");
      return one;
    });
    controls(plot, "Shown series", ...buttons);
  }

  // Zoom by buttons, the keys + - 0 or ctrl and the wheel; dragging moves the part that is seen.
  function zoomable(plot) {
    const svg = plot.querySelector("svg");
    if (!svg) return { place: (point) => point, reach: () => {} };
    const whole = svg.viewBox.baseVal, [width, height] = [whole.width, whole.height];
    let left = 0, top = 0, scale = 1; // of the seen part, as fractions of the figure
    const within = (x) => Math.min(Math.max(x, 0), 1 - 1 / scale);
    const look = (x, y) => {
      [left, top] = [within(x), within(y)];
      svg.setAttribute("viewBox", `${left * width} ${top * height} ${width / scale} ${height / scale}`);
      plot.classList.toggle("zoomed", scale > 1);
      hide();
    };
    const by = (factor, x = 0.5, y = 0.5) => { // (x, y) of the plot stays where it is
      const [atX, atY] = [left + x / scale, top + y / scale];
      scale = Math.min(Math.max(scale * factor, 1), 16);
      look(atX - x / scale, atY - y / scale);
    };
    plot.addEventListener("keydown", (event) => {
      const factor = { "+": 1.5, "=": 1.5, "-": 1 / 1.5, 0: 0 }[event.key];
      if (factor === undefined || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      by(factor);
    });
    plot.addEventListener("wheel", (event) => {
      if (!event.ctrlKey) return;
      event.preventDefault();
      const box = plot.getBoundingClientRect();
      by(Math.exp(-event.deltaY / 200), (event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
    }, { passive: false });
    plot.addEventListener("pointermove", (event) => {
      if (!event.buttons || scale === 1) return;
      const box = plot.getBoundingClientRect();
      look(left - event.movementX / box.width / scale, top - event.movementY / box.height / scale);
    });
    controls(plot, "Zoom", button("zoom in", () => by(1.5)), button("zoom out", () => by(1 / 1.5)), button("whole figure", () => by(0)));
    return {
      place: ([x, y, ...rest]) => [(x - left) * scale, (y - top) * scale, ...rest],
      reach: ([x, y]) => {
        const outside = [(x - left) * scale, (y - top) * scale].some((at) => at < 0 || at > 1);
        if (outside) look(x - 0.5 / scale, y - 0.5 / scale);
      },
    };
  }

  for (const plot of document.querySelectorAll(".plot")) {
    let points; // parsed when first needed
    let at = -1;
    const hidden = new Set(); // series
    const load = () => (points ??= JSON.parse(plot.querySelector("script").textContent)).filter((point) => !hidden.has(point[3]));
    const zoom = zoomable(plot);
    const nearest = (event) => {
      const box = plot.getBoundingClientRect();
      let best = REACH * REACH;
      at = -1;
      load().forEach((point, i) => {
        const [x, y] = zoom.place(point);
        const distance = (box.left + x * box.width - event.clientX) ** 2 + (box.top + y * box.height - event.clientY) ** 2;
        if (distance < best) {
          best = distance;
          at = i;
        }
      });
      at < 0 ? hide() : show(plot, zoom.place(load()[at]));
    };
    plot.addEventListener("pointermove", (event) => event.pointerType === "mouse" && !event.buttons && nearest(event));
    plot.addEventListener("click", nearest); // a tap
    plot.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && hide());
    plot.addEventListener("blur", hide);
    plot.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (event.key === "Escape") hide();
      if (!step || !load().length) return;
      event.preventDefault();
      const shown = load();
      at = (at + step + (at < 0 && step < 0 ? 1 : 0) + shown.length) % shown.length;
      zoom.reach(shown[at]);
      show(plot, zoom.place(shown[at]));
    });
    legend(plot, (name, visible) => {
      visible ? hidden.delete(name) : hidden.add(name);
      at = -1;
      hide();
    });
  }
  addEventListener("scroll", hide, { passive: true });

  // A number leads most cells ("69.9 [69.5, 70.3]"); blanks go last in either direction.
  const value = (cell) => {
    const text = (cell.firstChild?.textContent ?? "").trim().replaceAll(",", "").replace("−", "-").replace("∞", "Infinity");
    return text === "" ? null : isNaN(parseFloat(text)) ? (text === "Infinity" ? Infinity : text) : parseFloat(text);
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    const headings = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
    headings.forEach((heading, column) => {
      heading.querySelector("button").addEventListener("click", () => {
        const down = heading.getAttribute("aria-sort") === "ascending";
        headings.forEach((other) => other.removeAttribute("aria-sort"));
        heading.setAttribute("aria-sort", down ? "descending" : "ascending");
        const rows = [...table.tBodies[0].rows].map((row) => [value(row.cells[column]), row]);
        rows.sort(([a], [b]) => {
          if (a === null || b === null) return (a === null) - (b === null);
          const order = typeof a === typeof b && typeof a === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
          return down ? -order : order;
        });
        table.tBodies[0].append(...rows.map(([, row]) => row));
      });
    });
  }

  // Closed details are not printed.
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((one) => (one.open = true)));

  const candidates = document.getElementById("candidates");
  if (candidates) {
    const rows = JSON.parse(candidates.textContent); // cheapest first
    const [budget, unit, pps, answer] = ["budget", "unit", "pps", "answer"].map((id) => document.getElementById(id));
    const number = (x, digits) => (x === null ? "" : x.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits }));
    const choose = () => {
      document.getElementById("pps-label").hidden = unit.value !== "kbps";
      const limit = (row) => ({
        bytes: +budget.value,
        bpp: (budget.value * row.bytes) / row.bpp,
        kbps: (1000 * budget.value) / 8 / pps.value,
      })[unit.value];
      const best = new Map();
      for (const row of rows) {
        const place = row.dataset + "\n" + row.network;
        if (row.bytes <= limit(row) && !(row.accuracy <= best.get(place)?.accuracy)) best.set(place, row);
      }
      answer.replaceChildren();
      if (!best.size) {
        answer.textContent = `Nothing that was tested is so small: the cheapest is ${rows[0].distortion} with ${number(rows[0].bytes, 0)} bytes.`;
        return;
      }
      const table = document.createElement("table");
      const line = (cells, kind, into) => {
        const row = into.insertRow();
        for (const text of cells) row.append(Object.assign(document.createElement(kind), { textContent: text, className: row.cells.length < 4 ? "l" : "" }));
      };
      line(["dataset", "network", "distortion", "method", "bytes", "bpp", "top-1 (%)", "95 %", "PSNR (dB)"], "th", table.createTHead());
      const body = table.createTBody();
      for (const row of best.values()) {
        const interval = row.low === null ? "" : `${number(row.low, 1)} – ${number(row.high, 1)}`;
        line([row.dataset, row.network, row.distortion, row.method, number(row.bytes, 0), number(row.bpp, 3),
          number(row.accuracy, 2), interval, number(row.psnr, 2)], "td", body);
      }
      answer.append(table);
    };
    for (const input of [budget, unit, pps]) input.addEventListener("input", choose);
    budget.form.addEventListener("submit", (event) => event.preventDefault());
    choose();
  }

  // Pictures: one script per column, loaded when asked for; a page opened from a disk may not fetch.
  const column = document.getElementById("column");
  if (column) {
    const [list, cards] = ["list", "cards"].map((id) => document.getElementById(id));
    let shown;
    const make = (kind, properties, ...children) => {
      const element = Object.assign(document.createElement(kind), properties);
      element.append(...children);
      return element;
    };
    const draw = () => {
      cards.replaceChildren();
      const [, keys] = shown.lists[list.value] ?? ["", []];
      for (const key of keys) {
        const one = shown.pictures[key];
        const image = (source, alt) => make("img", { src: source, alt, loading: "lazy" });
        const difference = make("span", { className: "difference" }, image(one.clean, ""), image(one.distorted, `difference, ${key}`));
        const measures = [one.bytes === null ? "" : one.bytes.toLocaleString("en") + " bytes",
          one.psnr === null ? "identical" : one.psnr.toFixed(2) + " dB", one.ssim === null ? "" : "SSIM " + one.ssim.toFixed(3)];
        const answers = one.answers.map(([model, said, right]) => make("li", {}, (right ? "✓ " : "✗ ") + model + ": " + said));
        cards.append(make("figure", { className: "card" },
          make("div", { className: "three" }, image(one.clean, `clean, ${key}`), image(one.distorted, `distorted, ${key}`), difference),
          make("figcaption", {}, make("strong", {}, `${key}${one.class ? ", " + one.class : ""}`), " · " + measures.filter(Boolean).join(" · "), make("ul", {}, ...answers))));
      }
      if (!keys.length) cards.textContent = "None.";
    };
    window.pictures = (data) => {
      shown = data;
      list.replaceChildren(...data.lists.map(([title], i) => make("option", { value: i }, title)));
      draw();
    };
    const load = () => {
      document.getElementById("browse").hidden = true;
      document.head.append(make("script", { src: column.value }));
    };
    column.addEventListener("change", load);
    list.addEventListener("change", () => shown && draw());
    document.getElementById("browse").addEventListener("click", load);
    column.form.addEventListener("submit", (event) => event.preventDefault());
  }
})();
