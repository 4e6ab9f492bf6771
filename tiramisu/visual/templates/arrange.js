/* Sorts the figures of a list by the number that each has for the chosen class. */
function arrangeBy(list, show) {
  const number = list.id.split("-")[1];
  const choice = document.getElementById("class-" + number);
  const order = document.getElementById("order-" + number);
  const figures = [...list.children].map(e => ({e, values: JSON.parse(e.dataset.values)}));
  function arrange() {
    const index = Number(choice.value), sign = Number(order.value);
    const there = figures.filter(f => f.values[index] !== null);
    there.sort((a, b) => sign * (a.values[index] - b.values[index]));
    list.replaceChildren(...there.map(f => f.e));
    const name = index ? choice.selectedOptions[0].textContent : "";
    if (show)
      for (const f of there)
        f.e.querySelector("b").textContent = show(f.values[index]) + (name && " of " + name);
    document.getElementById("shown-" + number).textContent = there.length + (there.length === 1 ? " image" : " images");
  }
  choice.onchange = order.onchange = arrange;
  document.getElementById("choose-" + number).hidden = false;
  arrange();
}
