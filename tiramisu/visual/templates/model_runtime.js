// The network at work: it starts on the processor, and moves to the graphics card where that gives
// the same in less time.
"use strict";

let runtime = null; // what computes now: see startRuntime
let fallback = null; // the runtime on the processor, where `runtime` is on the graphics card

// A part of this page, still packed. It leaves the page, which then needs less memory.
function takePart(name) {
  const element = find(`part-${name}`);
  element.remove();
  return { letters: element.textContent, size: Number(element.dataset.size) };
}

function takeText(name) {
  const { letters, size } = takePart(name);
  return new TextDecoder().decode(unpack(readLetters(letters), size));
}

// A network at work in a worker. `call` sends a message and resolves to the answer.
//   model: the packed network; `tell` hears the share that is unpacked
async function startRuntime(name, model, tell) {
  const code = [takeText(`${name}-script`), "\n", find("worker-code").textContent];
  const worker = new Worker(URL.createObjectURL(new Blob(code, { type: "text/javascript" })));
  const waiting = new Map();
  let calls = 0;
  const call = (message, moved = [], tell) => new Promise((resolve, reject) => {
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
  const [glue, wasm] = [takeText(`${name}-glue`), takePart(`${name}-wasm`)];
  const provider = name === "gpu" ? "webgpu" : "wasm";
  await call({ kind: "start", settings, provider, glue, wasm, model }, [], tell);
  return { title: name === "gpu" ? "WebGPU" : "WebAssembly", call, worker };
}

function use(found) {
  runtime = found;
  find("provider").textContent =
    found.title === "WebGPU" ? "the graphics card (WebGPU)" : "the processor (WebAssembly)";
}

async function load() {
  const model = takePart("model");
  use(await startRuntime("cpu", model, showUnpacked));
  find("loading").hidden = true;
  find("main").hidden = false;
  document.body.dataset.state = "ready";
  await tryGpu(model);
}

function showUnpacked(share) {
  find("loading-text").textContent = `${share < 1 ? "Unpacking" : "Starting"} the network ...`;
  find("progress").value = 0.9 * share;
}

// Uses the graphics card if it gives what the processor gives, in less time.
async function tryGpu(model) {
  let found = null;
  try {
    // The runtime waits for the card by WebAssembly.Suspending, which not all browsers have yet.
    const adapter = window.WebAssembly.Suspending && (await navigator.gpu?.requestAdapter());
    // A fallback adapter is no card, but a slow program.
    if (!adapter || adapter.isFallbackAdapter || adapter.info?.isFallbackAdapter) return;
    found = await startRuntime("gpu", model);
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
