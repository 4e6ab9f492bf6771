// What people see and press. The network itself runs in a worker: see model_worker.js.
"use strict";

const find = (id) => document.getElementById(id);
const settings = JSON.parse(find("settings").textContent);
const isClassifier = settings.task === "classification";
const CAMERA_SIDE = 480; // longer side of the pictures that a live camera gives the network
const canvas = find("canvas");
const video = find("video");
const shown = document.createElement("canvas"); // the photo
const colored = document.createElement("canvas"); // the colors of its classes

let runtime = null; // what computes now: see startRuntime
let fallback = null; // the runtime on the processor, where `runtime` is on the graphics card
let photo = null; // {name, height, width, mask}
let camera = null; // the stream of a live camera
let latest = 0; // number of the last photo: answers to older ones are dropped

// A network at work in a worker. `call` sends a message and resolves to the answer.
async function startRuntime(name, parts) {
  const code = [parts.script, "\n", find("worker-code").textContent];
  const worker = new Worker(URL.createObjectURL(new Blob(code, { type: "text/javascript" })));
  const waiting = new Map();
  let calls = 0;
  const call = (message, moved, tell) => new Promise((resolve, reject) => {
    waiting.set(++calls, { resolve, reject, tell });
    worker.postMessage({ ...message, id: calls }, moved);
  });
  worker.onmessage = ({ data }) => {
    const { resolve, reject, tell } = waiting.get(data.id);
    if (data.share !== undefined) return tell?.(data.share);
    waiting.delete(data.id);
    return data.problem === undefined ? resolve(data.answer) : reject(new Error(data.problem));
  };
  worker.onerror = (event) => {
    for (const { reject } of waiting.values()) reject(new Error(event.message || "no worker"));
    waiting.clear();
  };
  const glue = new TextDecoder().decode(parts.glue);
  const wasm = parts.wasm.buffer;
  const model = parts.model.slice().buffer;
  const provider = name === "gpu" ? "webgpu" : "wasm";
  await call(
    { kind: "start", settings, provider, glue, wasm, model }, [wasm, model]);
  return { title: name === "gpu" ? "WebGPU" : "WebAssembly", call, worker };
}

function use(found) {
  runtime = found;
  find("provider").textContent =
    found.title === "WebGPU" ? "the graphics card (WebGPU)" : "the processor (WebAssembly)";
}

// Loading.

function showTrouble(text) {
  find("trouble").textContent = text;
  find("trouble").hidden = !text;
}

// A part of this page, unpacked: base64 of gzip -> bytes. `tell` hears how many are done.
async function unpack(name, tell) {
  const element = find(`part-${name}`);
  const text = element.textContent;
  const step = 1 << 20; // letters at a time, a multiple of 4
  let at = 0;
  const packed = new ReadableStream({
    pull(controller) {
      if (at >= text.length) return controller.close();
      const letters = atob(text.slice(at, at + step));
      at += step;
      controller.enqueue(Uint8Array.from(letters, (letter) => letter.charCodeAt(0)));
    },
  });
  const content = new Uint8Array(Number(element.dataset.size));
  let done = 0;
  const reader = packed.pipeThrough(new DecompressionStream("gzip")).getReader();
  for (;;) {
    const { done: isEnd, value } = await reader.read();
    if (isEnd) break;
    content.set(value, done);
    done += value.length;
    tell(value.length);
  }
  element.remove(); // the letters take more memory than the content
  return content;
}

// The parts of the page with these names, unpacked; `tell` hears the share that is done.
async function unpackAll(names, tell) {
  const total = names.reduce((sum, name) => sum + Number(find(`part-${name}`).dataset.size), 0);
  let done = 0;
  const parts = {};
  for (const name of names) {
    parts[name.replace(/^[cg]pu-/, "")] = await unpack(name, (count) => {
      done += count;
      tell(done / total, name);
    });
  }
  return parts;
}

async function load() {
  const parts = await unpackAll(["cpu-script", "cpu-glue", "cpu-wasm", "model"], (share, name) => {
    find("loading-text").textContent = `Unpacking the ${name === "model" ? "network" : "runtime"} ...`;
    find("progress").value = 0.9 * share;
  });
  find("loading-text").textContent = "Starting the network ...";
  use(await startRuntime("cpu", parts));
  find("loading").hidden = true;
  find("main").hidden = false;
  document.body.dataset.state = "ready";
  await tryGpu(parts.model);
}

// Uses the graphics card if it gives what the processor gives, in less time.
async function tryGpu(model) {
  let found = null;
  try {
    // The runtime waits for the card by WebAssembly.Suspending, which not all browsers have yet.
    const adapter = window.WebAssembly.Suspending && (await navigator.gpu?.requestAdapter());
    // A fallback adapter is no card, but a slow program.
    if (!adapter || adapter.isFallbackAdapter || adapter.info?.isFallbackAdapter) return;
    const parts = await unpackAll(["gpu-script", "gpu-glue", "gpu-wasm"], () => {});
    found = await startRuntime("gpu", { ...parts, model });
    const [cpu, gpu] = [await runtime.call({ kind: "tryOut" }), await found.call({ kind: "tryOut" })];
    const size = cpu.logits.reduce((most, value) => Math.max(most, Math.abs(value)), 1);
    if (!cpu.logits.every((value, i) => Math.abs(value - gpu.logits[i]) < 0.01 * size)) {
      throw new Error("its logits differ");
    }
    if (gpu.seconds > cpu.seconds) throw new Error(`it is slow (${gpu.seconds.toFixed(2)} s)`);
    fallback = runtime;
    use(found);
  } catch (error) {
    console.info(`no WebGPU: ${error.message}`);
    found?.worker.terminate();
  } finally {
    document.body.dataset.gpu = fallback ? "yes" : "no";
  }
}

// The answer of the runtime. Where the graphics card fails, the processor goes on.
async function compute(message, tell) {
  const makeCall = () => {
    const pixels = message.pixels.slice().buffer;
    return runtime.call({ ...message, kind: "predict", pixels }, [pixels], tell);
  };
  try {
    return await makeCall();
  } catch (error) {
    if (!fallback) throw error;
    console.info(`WebGPU failed: ${error.message}`);
    runtime.worker.terminate();
    use(fallback);
    fallback = null;
    return makeCall();
  }
}

function fail(error) {
  find("loading").hidden = true;
  document.body.dataset.state = "failed";
  showTrouble(
    `The network does not start in this browser: ${error.message}. Try Chrome, Edge, Firefox or ` +
    "Safari in its present version, and close other pages if memory is short.");
}

// Photos.

async function openFile(file) {
  if (!file) return;
  stopCamera();
  document.body.dataset.state = "busy";
  let image;
  try {
    // Values as they are in the file: the network was trained on these.
    image = await createImageBitmap(file, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  } catch {
    document.body.dataset.state = "problem";
    showTrouble(`${file.name || "This"} is no picture that this browser can read; try a JPEG or a PNG.`);
    return;
  }
  const name = (file.name || "photo").replace(/\.[^.]*$/, "");
  draw(image, image.width, image.height);
  image.close();
  await predictShown(name, Number(find("longest").value));
}

// Puts a picture into `shown`.
function draw(source, width, height) {
  [shown.width, shown.height] = [width, height];
  shown.getContext("2d", { willReadFrequently: true }).drawImage(source, 0, 0, width, height);
}

async function predictShown(name, longest) {
  const number = ++latest;
  const { width, height } = shown;
  showTrouble("");
  const isLive = camera !== null;
  if (!isLive) {
    photo = { name, width, height, mask: null };
    document.body.dataset.state = "busy";
    document.body.classList.add("has-photo");
    find("result").hidden = false;
    find("status").textContent = "Computing ...";
    paint();
  }
  const { data } = shown.getContext("2d").getImageData(0, 0, width, height);
  try {
    const answer = await compute(
      { pixels: data, width, height, longest }, (share) => showTiles(number, share));
    if (number !== latest) return;
    photo = { name, width, height, mask: answer.mask || null };
    showAnswer(answer);
    document.body.dataset.state = isLive ? "live" : "done";
  } catch (error) {
    if (number !== latest) return;
    document.body.dataset.state = "problem";
    find("status").textContent = "";
    showTrouble(`The photo could not be computed: ${error.message}. Try a smaller size.`);
  } finally {
    if (number === latest) find("tiles").hidden = true;
  }
}

function showTiles(number, share) {
  if (number !== latest) return;
  find("tiles").hidden = false;
  find("tiles").value = share;
}

// Results.

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

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

// The camera.

async function startCamera() {
  if (!navigator.mediaDevices?.getUserMedia) {
    showTrouble("This browser gives no camera to this page. Open the page as a file or by https.");
    return;
  }
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch (error) {
    const isDenied = error.name === "NotAllowedError";
    showTrouble(isDenied
      ? "The camera may not be used: allow it for this page."
      : `No camera can be used (${error.name}): connect one, and close other programs that use it.`);
    return;
  }
  stopCamera();
  camera = stream;
  video.srcObject = stream;
  await video.play();
  showCamera(true);
  document.body.dataset.state = "busy";
  // One picture after the other, each as soon as the last one is done.
  while (camera === stream && document.body.dataset.state !== "problem") {
    const scale = Math.min(1, CAMERA_SIDE / Math.max(video.videoWidth, video.videoHeight));
    draw(video, Math.round(video.videoWidth * scale), Math.round(video.videoHeight * scale));
    await predictShown("camera", 0);
    await new Promise(requestAnimationFrame);
  }
}

function showCamera(isLive) {
  find("shoot").hidden = find("stop").hidden = !isLive;
  find("camera").disabled = isLive;
  find("save-mask").hidden = find("save-overlay").hidden = isLive || isClassifier;
  find("longest-label").hidden = isLive || isClassifier || settings.size !== null;
  if (isLive) {
    document.body.classList.add("has-photo");
    find("result").hidden = false;
  }
}

function stopCamera() {
  camera?.getTracks().forEach((track) => track.stop());
  camera = null;
  showCamera(false);
}

// The picture of the camera in its own size, as a photo.
async function shoot() {
  draw(video, video.videoWidth, video.videoHeight);
  stopCamera();
  await predictShown("camera", Number(find("longest").value));
}

// What is pressed.

find("choose").onclick = () => find("file").click();
find("file").onchange = (event) => {
  openFile(event.target.files[0]);
  event.target.value = ""; // the same file may be chosen again
};
find("camera").onclick = startCamera;
find("stop").onclick = stopCamera;
find("shoot").onclick = shoot;
find("longest").onchange = () => photo && predictShown(photo.name, Number(find("longest").value));
find("opacity").oninput = () => {
  find("opacity-text").textContent = `${find("opacity").value} %`;
  paint();
};
find("save-mask").onclick = async () => {
  const blob = await encodeMask(photo.mask, photo.height, photo.width, settings.colors);
  save(blob, `${photo.name}_mask.png`);
};
find("save-overlay").onclick = () => {
  canvas.toBlob((blob) => save(blob, `${photo.name}_overlay.png`), "image/png");
};
canvas.onpointermove = canvas.onpointerdown = point;
canvas.onpointerleave = () => point({ clientX: -1e6, clientY: -1e6 });
for (const name of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    find("drop").classList.toggle("over", name === "dragover");
    if (name === "drop" && !find("main").hidden) openFile(event.dataTransfer.files[0]);
  });
}
document.addEventListener("paste", (event) => {
  if (event.clipboardData.files.length && !find("main").hidden) openFile(event.clipboardData.files[0]);
});

for (const element of document.querySelectorAll(".for-pixels")) element.hidden = isClassifier;
find("legend-title").textContent = isClassifier ? "The most probable classes" : "Classes";
showCamera(false);
if (!window.missing.length) load().catch(fail);
