(style, { names, films, steps }) => {
  const root =
    document.currentScript?.closest(".bert4rec-walk") ??
    document.querySelector(".bert4rec-walk:not([data-ready])");
  const id = `walk-${document.querySelectorAll(".bert4rec-walk[data-ready]").length}`;
  const codes = [...root.querySelectorAll("tbody tr")].map((row) => row.cells[2].firstChild);

  const h = (name, attributes = {}, ...children) => {
    const [tag, ...classes] = name.split(".");
    const element = document.createElement(tag);
    element.classList.add(...classes);
    for (const [key, value] of Object.entries(attributes))
      if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
      else element.setAttribute(key, value);
    element.append(...children);
    return element;
  };
  const read = ({ numbers, worth }) => {
    const bytes = Uint8Array.from(atob(numbers), (letter) => letter.charCodeAt(0));
    const view = new DataView(bytes.buffer);
    return Float64Array.from({ length: bytes.length / 2 }, (_, i) => view.getInt16(2 * i, true) * worth);
  };
  const text = (value) => value.toFixed(2).replace(/^-(?=0\.00$)/, "").replace("-", "−");
  const values = steps.map(read);
  const isAttention = (step) => step.name === "attention";
  let at = 0;
  let place = names.length - 1; // whose numbers the boxes show

  /** The numbers of a step at the chosen place; of attention those of all heads. */
  const row = (number, from) => {
    const { size } = steps[number];
    const all = values[number];
    const found = [];
    for (let start = from * size; start < all.length; start += names.length * size)
      found.push(...all.subarray(start, start + size));
    return found;
  };

  /** A strip of colours, the stronger the further from 0. */
  const strip = (numbers, most, [below, above] = ["--below", "--above"]) => {
    const canvas = h("canvas", { width: numbers.length, height: 1 });
    const context = canvas.getContext("2d");
    const colours = getComputedStyle(root);
    numbers.forEach((value, i) => {
      const colour = colours.getPropertyValue(value < 0 ? below : above);
      context.fillStyle = `rgba(${colour}, ${Math.min(1, Math.abs(value) / most) ** 0.6})`;
      context.fillRect(i, 0, 1, 1);
    });
    return canvas;
  };
  const largest = (number) => 32767 * steps[number].worth;
  const statistics = (numbers) => {
    const mean = numbers.reduce((sum, value) => sum + value, 0) / numbers.length;
    const square = numbers.reduce((sum, value) => sum + (value - mean) ** 2, 0) / numbers.length;
    return [mean, Math.sqrt(square)];
  };

  const boxes = steps.map((step, number) => {
    const own = { role: "tab", id: `${id}-${number}`, "aria-controls": `${id}-panel` };
    return h("button.box", { ...own, type: "button", onclick: () => go(number) });
  });
  const groups = [...new Set(steps.map((step) => step.group))].map((group) => {
    const inside = boxes.filter((_, number) => steps[number].group === group);
    return h("div.group", {}, h("span", {}, group), h("div.boxes", {}, ...inside));
  });
  const map = h("div", { role: "tablist", "aria-label": "The steps of the stack" }, ...groups);
  const title = h("h4");
  const about = h("span.muted");
  const says = h("p");
  const spoken = h("div", { "aria-live": "polite" }, says);
  const shown = h("div.wide");
  const note = h("p.muted", {}, "\u00a0");
  const back = h("button", { type: "button", onclick: () => go(at - 1) }, "Back");
  const next = h("button", { type: "button", onclick: () => go(at + 1) }, "Next");
  const head = h("div.head", {}, title, about, h("div.moves", {}, back, next));
  const panel = h("div.panel", { role: "tabpanel", id: `${id}-panel` }, head, spoken, shown, note);

  const choose = (to) => {
    const button = h("button", { type: "button", "aria-pressed": String(to === place) }, names[to]);
    button.addEventListener("click", () => {
      place = to;
      draw();
      panel.querySelectorAll(".place button")[to]?.focus();
    });
    return h("th.place", { scope: "row" }, button);
  };

  const views = {
    rows(number) {
      const most = largest(number);
      const lines = names.map((name, to) => {
        const numbers = row(number, to);
        const [mean, spread] = statistics(numbers).map(text);
        const canvas = strip(numbers, most);
        const range = [Math.min(...numbers), Math.max(...numbers)].map(text).join(" to ");
        canvas.role = "img";
        canvas.ariaLabel = `${numbers.length} numbers from ${range}`;
        canvas.addEventListener("pointermove", (event) => {
          const share = event.offsetX / canvas.clientWidth;
          const i = Math.min(numbers.length - 1, Math.max(0, Math.floor(share * numbers.length)));
          note.textContent = `${name}, number ${i + 1} of ${numbers.length}: ${text(numbers[i])}`;
        });
        const cells = [h("td", {}, canvas), h("td.stat", {}, mean), h("td.stat", {}, spread)];
        return h("tr", {}, choose(to), ...cells);
      });
      const heads = ["place", "", "mean", "spread"].map((name, i) =>
        h(`th.${["place", "all", "stat", "stat"][i]}`, { scope: "col" }, name),
      );
      note.textContent = `Blue is below 0, orange above; the strongest colour is ${text(most)}.`;
      const top = h("thead", {}, h("tr", {}, ...heads));
      return [h("table.rows", {}, top, h("tbody", {}, ...lines))];
    },
    attention(number) {
      note.textContent = "A row looks at the columns.";
      const count = values[number].length / names.length ** 2;
      return Array.from({ length: count }, (_, one) => {
        const to = names.map((name) => h("th.to", { scope: "col" }, name));
        const lines = names.map((_, from) => {
          const weights = row(number, from).slice(one * names.length, (one + 1) * names.length);
          const cells = weights.map((weight) => {
            const share = (100 * weight).toFixed(0);
            const colour = `background: rgba(var(--looks), ${share}%)`;
            return h("td", { style: colour }, weight.toFixed(2));
          });
          return h("tr", from === place ? { "data-on": "" } : {}, choose(from), ...cells);
        });
        const top = h("thead", {}, h("tr", {}, h("td"), ...to));
        return h("table.heads", {}, h("caption", {}, `head ${one + 1}`), top, h("tbody", {}, ...lines));
      });
    },
    scores() {
      const reach = films[0]?.share;
      const lines = films.map(({ title, score, share }) => {
        const bar = h("i", { style: `width:${(100 * share) / reach}%` });
        const cells = [h("td.stat", {}, text(score)), h("td.bar", {}, bar)];
        const percent = h("td.stat", {}, `${(100 * share).toFixed(1)}\u00a0%`);
        return h("tr", {}, h("th", { scope: "row" }, title), ...cells, percent);
      });
      const heads = ["film", "score", "", "softmax"].map((name) => h("th", { scope: "col" }, name));
      note.textContent = "\u00a0";
      const top = h("thead", {}, h("tr", {}, ...heads));
      return [h("table.films", {}, top, h("tbody", {}, ...lines))];
    },
  };

  function draw() {
    const step = steps[at];
    boxes.forEach((box, number) => {
      const one = steps[number];
      const numbers = row(number, place);
      let below = h("small", {}, films[0]?.title ?? "nothing");
      if (numbers.length) {
        const [, spread] = statistics(numbers).map(text);
        const said = isAttention(one) ? `up to ${text(Math.max(...numbers))}` : `spread ${spread}`;
        const colours = isAttention(one) ? ["--looks", "--looks"] : undefined;
        below = h("span", {}, strip(numbers, largest(number), colours), h("small", {}, said));
      }
      box.replaceChildren(h("span", {}, one.name), below);
      box.ariaSelected = String(number === at);
      box.tabIndex = number === at ? 0 : -1;
    });
    panel.setAttribute("aria-labelledby", boxes[at].id);
    title.textContent = step.group.startsWith("Layer") ? `${step.group}: ${step.name}` : step.name;
    about.replaceChildren(`step ${at + 1} of ${steps.length}, `, codes[at], ` ${step.shape}`);
    says.textContent = step.says;
    back.ariaDisabled = String(at === 0);
    next.ariaDisabled = String(at === steps.length - 1);
    const view = isAttention(step) ? "attention" : step.name === "scores" ? "scores" : "rows";
    shown.replaceChildren(...views[view](at));
  }

  function go(number) {
    const moved = boxes.includes(document.activeElement);
    at = Math.min(steps.length - 1, Math.max(0, number));
    draw();
    if (moved) boxes[at].focus();
  }

  root.addEventListener("keydown", (event) => {
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: steps.length - 1 }[event.key];
    if (to === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault(); // nor may the page around turn its own pages
    event.stopPropagation();
    go(to);
  });
  root.dataset.ready = "";
  root.replaceChildren(h("style", {}, style), map, panel);
  draw();
  new MutationObserver(draw).observe(document.body, { attributeFilter: ["data-jp-theme-light"] });
  new MutationObserver(draw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
}
