// Shows what the nearest point of a figure stands for; with the keyboard, arrow keys go from point to point.
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
    plot.addEventListener("pointermove", (event) => {
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
    });
    plot.addEventListener("pointerleave", hide);
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
})();
