// One page of people. All text is set as text: names and addresses are what people typed.
const make = (tag, props = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), props);
  made.append(...children);
  return made;
};

function render({ model, el }) {
  const table = make("table");
  const wide = make("div", { className: "pa-wide-table", tabIndex: 0 }, table);
  wide.setAttribute("role", "region");
  wide.setAttribute("aria-label", "people");
  const where = make("span", { className: "pa-muted" });
  where.setAttribute("role", "status");
  const copied = make("textarea", { className: "pa-code", readOnly: true, hidden: true });
  copied.setAttribute("aria-label", "Python that lists these people");
  const press = (words, title, message) => {
    const button = make("button", { className: "jupyter-button", textContent: words, title });
    button.dataset.key = words;
    button.onclick = () => model.send(message);
    return button;
  };
  const back = press("Back", "the page before", { want: "turn", pages: -1 });
  const next = press("Next", "the next page", { want: "turn", pages: 1 });
  const code = press("Copy as Python", "code that lists these people", { want: "code" });
  const foot = make("div", { className: "pa-foot" }, where, code, back, next);
  el.append(wide, foot, copied);

  const head = (name, [sorted, descending]) => {
    const cell = make("th", { scope: "col" });
    if (!model.get("orders").includes(name)) {
      cell.append(name);
      return cell;
    }
    const on = name === sorted;
    cell.setAttribute("aria-sort", on ? (descending ? "descending" : "ascending") : "none");
    const button = make("button", { textContent: name, className: "pa-sort" });
    button.dataset.key = `sort ${name}`;
    button.onclick = () => {
      model.set("sort", [name, on && !descending]);
      model.save_changes();
    };
    cell.append(button);
    return cell;
  };

  const picture = (drawn) => {
    if (drawn.startsWith("data:image/png;base64,"))
      return make("img", { alt: "picture", width: 32, height: 32, src: drawn });
    const none = make("span", { className: "pa-none", title: drawn, textContent: "·" });
    none.setAttribute("role", "img");
    none.setAttribute("aria-label", drawn);
    return none;
  };

  const facts = (opened) => {
    const list = make("dl", { className: "pa-why" });
    for (const { name, words, link } of opened.facts) {
      const told = link
        ? make("a", { href: link, target: "_blank", rel: "noopener noreferrer", textContent: words })
        : make("bdi", { textContent: words });
      list.append(make("dt", { textContent: name }), make("dd", {}, told));
    }
    return list;
  };

  const draw = () => {
    const focused = el.contains(document.activeElement) && document.activeElement.dataset.key;
    const { heads, people, words, first, last } = model.get("page");
    const opened = model.get("opened");
    const body = make("tbody");
    people.forEach((person, place) => {
      const row = body.insertRow();
      if ("drawn" in person) row.insertCell().append(picture(person.drawn));
      const open = opened.place === place;
      const who = make("button", { className: "pa-who" }, make("bdi", { textContent: person.who }));
      who.dataset.key = `who ${place}`;
      who.setAttribute("aria-expanded", String(open));
      who.onclick = () => model.send({ want: "open", place });
      row.append(make("th", { scope: "row" }, who));
      person.cells.forEach((text, column) => {
        const cell = row.insertCell();
        if (column === person.swatched) {
          cell.append(make("span", { className: `pa-swatch ${person.looks}` }));
        }
        cell.append(make("bdi", { textContent: text }));
      });
      if (person.late) row.lastChild.className = "pa-late";
      if (open) body.insertRow().append(make("td", { colSpan: heads.length }, facts(opened)));
    });
    if (!people.length) {
      body.insertRow().append(make("td", { colSpan: heads.length, textContent: "nobody" }));
    }
    const sort = model.get("sort");
    const titles = make("tr", {}, ...heads.map((name) => head(name, sort)));
    table.replaceChildren(make("thead", {}, titles), body);
    where.textContent = words;
    back.disabled = first;
    next.disabled = last;
    const again = [...el.querySelectorAll("[data-key]")].find((one) => one.dataset.key === focused);
    if (again) again.focus();
  };

  const told = async (message) => {
    if (message.code) {
      copied.value = message.code;
      copied.rows = message.code.split("\n").length + 1;
      copied.hidden = false;
      copied.select();
      try {
        await navigator.clipboard.writeText(message.code);
        where.textContent = "Copied.";
      } catch {
        where.textContent = "Copy the lines below.";
      }
    }
  };
  const turned = () => {
    copied.hidden = true; // it is of other people now
    draw();
  };
  model.on("change:page", turned);
  model.on("change:opened", draw);
  model.on("msg:custom", told);
  draw();
  return () => {
    model.off("change:page", turned);
    model.off("change:opened", draw);
    model.off("msg:custom", told);
  };
}

export default { render };
