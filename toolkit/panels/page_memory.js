// Keeps a text for this tab of the browser, and tells it when the page is loaded again.
function initialize({ model }) {
  const name = "picture-audit";
  const keep = () => sessionStorage.setItem(name, model.get("kept"));
  model.on("change:kept", keep);
  const found = sessionStorage.getItem(name);
  if (found) {
    model.set("found", found);
    model.save_changes();
  }
  return () => model.off("change:kept", keep);
}

export default { initialize };
