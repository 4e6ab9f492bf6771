// What people see: the photo under the colors of its classes, the legend, the class under the
// pointer.
"use strict";

const find = (id) => document.getElementById(id);
const settings = JSON.parse(find("settings").textContent); // see `describe_model` in Python
const isClassifier = settings.task === "classification";
const canvas = find("canvas");
const shown = document.createElement("canvas"); // the photo
const colored = document.createElement("canvas"); // the colors of its classes

let photo = null; // {name, height, width, mask}

function showTrouble(text) {
  find("trouble").textContent = text;
  find("trouble").hidden = !text;
}

// Puts a picture into `shown`.
function draw(source, width, height) {
  [shown.width, shown.height] = [width, height];
  shown.getContext("2d", { willReadFrequently: true }).drawImage(source, 0, 0, width, height);
}

function showAnswer(answer) {
  const { width, height } = photo;
  const seen = `${answer.seen.width} x ${answer.seen.height}`;
  find("status").textContent =
    `${width} x ${height} pixels, seen by the network as ${seen}: ` +
    `${answer.seconds.toFixed(answer.seconds < 1 ? 2 : 1)} s with ${runtime.title}`;
  if (answer.mask) {
    colorMask(answer.mask);
    const counts = new Array(settings.names.length).fill(0);
    for (const index of answer.mask) counts[index]++;
    showLegend(counts.map((count) => count / answer.mask.length), settings.names.length);
  } else {
    showLegend(answer.probabilities, 5);
  }
  paint();
}

function colorMask(mask) {
  [colored.width, colored.height] = [photo.width, photo.height];
  const image = new ImageData(photo.width, photo.height);
  for (let i = 0, to = 0; i < mask.length; i++, to += 4) {
    if (settings.unpainted.includes(mask[i])) continue;
    image.data.set(settings.colors[mask[i]], to);
    image.data[to + 3] = 255;
  }
  colored.getContext("2d").putImageData(image, 0, 0);
}

// The photo, and the colors of the classes on top of it.
function paint() {
  find("save-mask").disabled = find("save-overlay").disabled = !photo?.mask;
  if (!photo) return;
  if (canvas.width !== photo.width || canvas.height !== photo.height) {
    [canvas.width, canvas.height] = [photo.width, photo.height];
  }
  const context = canvas.getContext("2d");
  context.globalAlpha = 1;
  context.drawImage(shown, 0, 0);
  if (photo.mask) {
    context.globalAlpha = find("opacity").value / 100;
    context.drawImage(colored, 0, 0);
  }
}

function percent(share) {
  if (share > 0 && share < 0.001) return "<0.1 %";
  return `${(100 * share).toFixed(1)} %`;
}

// The classes with the largest shares first.
function showLegend(shares, most) {
  const order = [...shares.keys()].sort((a, b) => shares[b] - shares[a] || a - b).slice(0, most);
  find("legend").replaceChildren(...order.map((index) => {
    const item = document.createElement("li");
    item.dataset.index = index;
    item.dataset.share = shares[index];
    if (!shares[index]) item.className = "absent";
    const swatch = document.createElement("span");
    swatch.className = settings.unpainted.includes(index) ? "swatch bare" : "swatch";
    swatch.style.background = `rgb(${settings.colors[index].join(" ")})`;
    const name = document.createElement("span");
    name.className = "name";
    name.textContent = settings.names[index];
    const share = document.createElement("span");
    share.className = "share";
    share.textContent = percent(shares[index]);
    item.append(swatch, name, share);
    return item;
  }));
}

function point(event) {
  const box = canvas.getBoundingClientRect();
  const x = Math.floor(((event.clientX - box.left) / box.width) * canvas.width);
  const y = Math.floor(((event.clientY - box.top) / box.height) * canvas.height);
  const isInside = photo?.mask && x >= 0 && y >= 0 && x < photo.width && y < photo.height;
  const tip = find("tip");
  tip.hidden = !isInside;
  const index = isInside ? photo.mask[y * photo.width + x] : -1;
  for (const item of find("legend").children) {
    item.classList.toggle("pointed", Number(item.dataset.index) === index);
  }
  if (!isInside) return;
  tip.textContent = settings.names[index];
  const stage = canvas.parentElement.getBoundingClientRect();
  const left = event.clientX - stage.left + 14;
  tip.style.left = `${Math.max(0, Math.min(left, stage.width - tip.offsetWidth))}px`;
  tip.style.top = `${Math.max(0, event.clientY - stage.top - 34)}px`;
}
