// Figures: what the nearest point stands for, under the pointer, a tap or the arrow keys. Tables: sorting. The chooser.
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

  for (const plot of document.querySelectorAll(".plot")) {
    let points; // parsed when first needed
    let at = -1;
    const load = () => (points ??= JSON.parse(plot.querySelector("script").textContent));
    const nearest = (event) => {
      const box = plot.getBoundingClientRect();
      let best = REACH * REACH;
      at = -1;
      load().forEach(([x, y], i) => {
        const distance = (box.left + x * box.width - event.clientX) ** 2 + (box.top + y * box.height - event.clientY) ** 2;
        if (distance < best) {
          best = distance;
          at = i;
        }
      });
      at < 0 ? hide() : show(plot, points[at]);
    };
    plot.addEventListener("pointermove", (event) => event.pointerType === "mouse" && nearest(event));
    plot.addEventListener("click", nearest); // a tap
    plot.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && hide());
    plot.addEventListener("blur", hide);
    plot.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (event.key === "Escape") hide();
      if (!step || !load().length) return;
      event.preventDefault();
      at = (at + step + (at < 0 && step < 0 ? 1 : 0) + points.length) % points.length;
      show(plot, points[at]);
    });
  }
  addEventListener("scroll", hide, { passive: true });

  for (const button of document.querySelectorAll(".enlarge")) {
    button.addEventListener("click", () => {
      const large = button.previousElementSibling.classList.toggle("large");
      button.setAttribute("aria-pressed", large);
    });
  }

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
