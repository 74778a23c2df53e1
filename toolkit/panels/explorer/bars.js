// Bars whose parts are buttons. All text is set as text: names of groups are what people typed.
const make = (tag, className, text = "") =>
  Object.assign(document.createElement(tag), { className, textContent: text });

// One stop of the Tab key for each row; the arrow keys go along it, Home and End to its ends.
function walk(row) {
  row.addEventListener("keydown", (event) => {
    const parts = [...row.children];
    const here = parts.indexOf(event.target);
    const ends = { Home: 0, End: parts.length - 1 };
    const aim = { ArrowLeft: here - 1, ArrowRight: here + 1, ...ends }[event.key];
    if (here < 0 || !(aim in parts)) return;
    event.preventDefault();
    parts.forEach((part, place) => (part.tabIndex = place === aim ? 0 : -1));
    parts[aim].focus();
  });
}

function render({ model, el }) {
  const parts = (row, className, spoken) => {
    const made = make("div", className);
    made.setAttribute("role", "group");
    made.setAttribute("aria-label", spoken);
    row.forEach(({ key, words, told, share, looks, picked }, place) => {
      const button = make("button", `jupyter-button ${looks}${picked ? " pa-picked" : ""}`, words);
      button.title = told;
      // What is spoken begins with what is seen; a part of the legend says all in its words.
      const seen = words ? `${words} %: ` : "";
      if (className === "pa-bar") button.setAttribute("aria-label", `${seen}${told}`);
      button.setAttribute("aria-pressed", String(picked));
      button.tabIndex = place ? -1 : 0;
      button.dataset.key = key;
      if (className === "pa-bar") button.style.width = `${(share * 100).toFixed(2)}%`;
      button.onclick = () => model.send({ key });
      made.append(button);
    });
    walk(made);
    return made;
  };

  const draw = () => {
    const focused = el.contains(document.activeElement) && document.activeElement.dataset.key;
    const { legend, rows, smaller } = model.get("chart");
    const stacks = rows.map(({ name, words, parts: row }) => {
      const stack = make("div", "pa-stack");
      const label = make("div", "pa-name");
      label.append(make("bdi", "", name), words);
      stack.append(label, parts(row, "pa-bar", `${name}${words}`));
      return stack;
    });
    const below = make("div", "pa-muted", smaller);
    el.replaceChildren(parts(legend, "pa-legend", "everybody"), ...stacks, below);
    const again = [...el.querySelectorAll("button")].find((one) => one.dataset.key === focused);
    if (!again) return;
    [...again.parentNode.children].forEach((part) => (part.tabIndex = part === again ? 0 : -1));
    again.focus();
  };
  model.on("change:chart", draw);
  draw();
  return () => model.off("change:chart", draw);
}

export default { render };
