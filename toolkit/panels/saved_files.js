// Saves what is sent. It listens once for each page, however often the panel is shown there.
function initialize({ model }) {
  const save = ({ save }, buffers) => {
    const address = URL.createObjectURL(new Blob([buffers[0]]));
    Object.assign(document.createElement("a"), { href: address, download: save }).click();
    setTimeout(() => URL.revokeObjectURL(address), 60_000);
  };
  model.on("msg:custom", save);
  return () => model.off("msg:custom", save);
}

export default { initialize };
