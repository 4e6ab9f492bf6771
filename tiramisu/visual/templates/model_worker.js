// Runs the network beside the page, so that the page never stands still.
"use strict";

let settings; // of the model: see `describe_model` in Python
let session;

// An address that gives a module. On a page that was opened as a file, WebKit (Safari) imports no
// blob, but it does import code that is the address itself. Threads need the blob, and there are
// none on such a page.
function addressOf(code) {
  if (!self.crossOriginIsolated) return `data:text/javascript,${encodeURIComponent(code)}`;
  return URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
}

// The contents of packed parts, {letters, size} each; `tell` hears the share that is done.
function unpackAll(parts, tell) {
  const total = parts.reduce((sum, { size }) => sum + size, 0);
  let before = 0;
  return parts.map(({ letters, size }) => {
    const content = unpack(readLetters(letters), size, (done) => tell((before + done) / total));
    before += size;
    tell(before / total);
    return content;
  });
}

async function start(message, tell) {
  settings = message.settings;
  const [wasm, model] = unpackAll([message.wasm, message.model], tell);
  ort.env.logLevel = "error";
  ort.env.wasm.wasmBinary = wasm;
  ort.env.wasm.wasmPaths = { mjs: addressOf(message.glue) };
  // Threads share memory, which browsers allow only on pages that a server isolates.
  const cores = Math.min(8, navigator.hardwareConcurrency || 1);
  ort.env.wasm.numThreads = self.crossOriginIsolated ? cores : 1;
  session = await ort.InferenceSession.create(model, {
    executionProviders: [message.provider],
    logSeverityLevel: 3, // errors only
  });
  return {};
}

// Logits of an image of noise, and the seconds that they take once all is warm.
async function tryOut() {
  const side = 4 * settings.smallestSide;
  const noise = () => Float32Array.from(
    { length: settings.bands * side * side }, (_, i) => (i * 7919) % 256);
  await run(noise(), side, side);
  const started = performance.now();
  const { values } = await run(noise(), side, side);
  return { logits: values, seconds: (performance.now() - started) / 1000 };
}

// float32 (bands, height, width) -> logits {values, rows, columns, classes}.
async function run(planes, height, width) {
  const images = new ort.Tensor("float32", planes, [1, settings.bands, height, width]);
  const { logits } = await session.run({ images });
  const values = await logits.getData();
  logits.dispose();
  const [, classes, rows = 1, columns = 1] = logits.dims;
  return { values, classes, rows, columns };
}

function runImage(image) {
  return run(toPlanes(image), image.height, image.width);
}

// Logits of an image of any size. A large one goes through the network in overlapping tiles.
async function predictInTiles(image, side, tell) {
  if (Math.max(image.height, image.width) <= side) return runImage(image);
  const rows = placeTiles(image.height, side, settings.overlap);
  const columns = placeTiles(image.width, side, settings.overlap);
  const area = image.height * image.width;
  const values = new Float32Array(settings.names.length * area);
  let done = 0;
  for (const row of rows) {
    for (const column of columns) {
      const tall = row.weights.length, wide = column.weights.length;
      const part = cutOut(image, row.start, column.start, tall, wide);
      const logits = await runImage(part);
      for (let index = 0; index < logits.classes; index++) {
        for (let y = 0; y < tall; y++) {
          const to = index * area + (row.start + y) * image.width + column.start;
          const from = (index * tall + y) * wide;
          for (let x = 0; x < wide; x++) {
            values[to + x] += logits.values[from + x] * row.weights[y] * column.weights[x];
          }
        }
      }
      tell(++done / (rows.length * columns.length));
    }
  }
  return { values, classes: settings.names.length, rows: image.height, columns: image.width };
}

// The size of a photo as the network sees it; `longest` limits its longer side, 0 does not.
function findSeen(height, width, longest) {
  if (settings.size) return { height: settings.size[0], width: settings.size[1] };
  let scale = settings.scale;
  if (longest) scale = Math.min(scale, longest / Math.max(height, width));
  return {
    height: Math.max(1, roundEven(height * scale)),
    width: Math.max(1, roundEven(width * scale)),
  };
}

async function predict({ pixels, height, width, longest }, tell) {
  const started = performance.now();
  const photo = takeBands(new Uint8Array(pixels), height, width, settings.bands);
  if (settings.task === "classification") {
    const size = settings.size;
    const fitting = size ? resizeAndCrop(photo, size[0], size[1]) : photo;
    const image = padSmall(fitting, settings.smallestSide);
    const probabilities = softmax((await runImage(image)).values);
    return { probabilities, seen: image, seconds: (performance.now() - started) / 1000 };
  }
  const seen = findSeen(height, width, longest);
  const image = padSmall(resizeImage(photo, seen.height, seen.width), settings.smallestSide);
  let logits;
  for (let side = settings.tile; logits === undefined; ) {
    try {
      logits = await predictInTiles(image, side, tell);
    } catch (error) {
      const smaller = Math.floor(Math.min(side, Math.max(image.height, image.width)) / 2);
      if (smaller < settings.smallestTile) throw error;
      console.info(`tiles of ${side} pixels failed (${error.message}); now ${smaller}`);
      side = smaller;
    }
  }
  const mask = findClasses(logits, seen, height, width);
  return { mask, seen, seconds: (performance.now() - started) / 1000 };
}

async function answer(data) {
  const { id } = data;
  try {
    const tell = (share) => self.postMessage({ id, share });
    const work = { start, tryOut, predict }[data.kind];
    const found = await work(data, tell);
    if (found.seen) found.seen = { height: found.seen.height, width: found.seen.width };
    const moved = found.mask ? [found.mask.buffer] : [];
    self.postMessage({ id, answer: found }, moved);
  } catch (error) {
    self.postMessage({ id, problem: String(error.message || error) });
  }
}

// One after the other: a session takes one image at a time.
let last = Promise.resolve();
self.onmessage = ({ data }) => {
  last = last.then(() => answer(data));
};
