// From the pixels of a photo to what a network sees, and from its logits to classes. Every step
// gives the numbers of `tiramisu predict`, which resizes with OpenCV and PyTorch.
"use strict";

// Half goes to the even neighbour, as in Python and in OpenCV.
function roundEven(value) {
  const low = Math.floor(value);
  if (value - low !== 0.5) return Math.round(value);
  return low % 2 === 0 ? low : low + 1;
}

// The bands of a photo: RGBA (H, W, 4) -> {height, width, bands, values: (H, W, bands), 0..255}.
function takeBands(rgba, height, width, bands) {
  const values = new Uint8Array(height * width * bands);
  for (let i = 0, from = 0, to = 0; i < height * width; i++, from += 4) {
    if (bands === 1) {
      const light = 0.299 * rgba[from] + 0.587 * rgba[from + 1] + 0.114 * rgba[from + 2];
      values[to++] = roundEven(Math.fround(light));
    } else {
      values[to++] = rgba[from];
      values[to++] = rgba[from + 1];
      values[to++] = rgba[from + 2];
    }
  }
  return { height, width, bands, values };
}

// Which pixels of an axis are averaged for each new one, with their weights: OpenCV's INTER_AREA.
function findTaps(from, to) {
  const scale = from / to;
  const taps = [];
  for (let i = 0; i < to; i++) {
    const own = [];
    const start = i * scale, end = start + scale;
    const width = Math.min(scale, from - start);
    const last = Math.min(Math.floor(end), from - 1);
    const first = Math.min(Math.ceil(start), last);
    if (first - start > 1e-3) own.push([first - 1, (first - start) / width]);
    for (let at = first; at < last; at++) own.push([at, 1 / width]);
    if (end - last > 1e-3) own.push([last, Math.min(end - last, 1, width) / width]);
    taps.push(own);
  }
  return taps;
}

// An image in another size: averages where it shrinks.
function resizeImage(image, height, width) {
  if (image.height === height && image.width === width) return image;
  const shrinks = height * width < image.height * image.width;
  if (!shrinks) return interpolate(image, height, width, false);
  // OpenCV averages only where both sides shrink.
  if (height > image.height || width > image.width) return interpolate(image, height, width, true);
  return shrink(image, height, width);
}

function shrink(image, height, width) {
  const { bands } = image;
  const across = findTaps(image.width, width);
  const down = findTaps(image.height, height);
  // OpenCV halves with whole numbers, and then rounds a half up.
  const isHalf = image.height === 2 * height && image.width === 2 * width;
  const round = isHalf ? (value) => Math.floor(value + 0.5) : roundEven;
  const narrow = new Float32Array(image.height * width * bands);
  for (let y = 0, to = 0; y < image.height; y++) {
    for (let x = 0; x < width; x++) {
      for (let band = 0; band < bands; band++) {
        let sum = 0;
        for (const [at, weight] of across[x]) {
          sum += weight * image.values[(y * image.width + at) * bands + band];
        }
        narrow[to++] = sum;
      }
    }
  }
  const row = width * bands;
  const values = new Uint8Array(height * row);
  const sums = new Float32Array(row);
  for (let y = 0; y < height; y++) {
    sums.fill(0);
    for (const [at, weight] of down[y]) {
      for (let i = 0; i < row; i++) sums[i] += weight * narrow[at * row + i];
    }
    for (let i = 0; i < row; i++) values[y * row + i] = Math.min(255, round(sums[i]));
  }
  return { height, width, bands, values };
}

// The two pixels between which each new one lies, and their weights in 1/2048, as in OpenCV.
//   asArea: what INTER_AREA does on an axis of an image whose other side grows
function findPairs(from, to, asArea) {
  const scale = from / to;
  const pairs = [];
  for (let i = 0; i < to; i++) {
    let first, share;
    if (asArea) {
      first = Math.floor(i * scale);
      share = Math.fround(i + 1 - (first + 1) / scale);
      share = share <= 0 ? 0 : share - Math.floor(share);
    } else {
      const center = Math.fround((i + 0.5) * scale - 0.5);
      first = Math.floor(center);
      share = Math.fround(center - first);
    }
    const inside = (at) => Math.min(Math.max(at, 0), from - 1);
    const weights = [roundEven((1 - share) * 2048), roundEven(share * 2048)];
    pairs.push([inside(first), inside(first + 1), ...weights]);
  }
  return pairs;
}

// Bilinear interpolation in whole numbers, as OpenCV does it for 8 bits.
function interpolate(image, height, width, asArea) {
  const { bands } = image;
  const across = findPairs(image.width, width, asArea);
  const down = findPairs(image.height, height, asArea);
  const row = width * bands;
  const narrow = new Int32Array(image.height * row);
  for (let y = 0, to = 0; y < image.height; y++) {
    const start = y * image.width;
    for (const [first, second, a, b] of across) {
      for (let band = 0; band < bands; band++) {
        narrow[to++] =
          a * image.values[(start + first) * bands + band] +
          b * image.values[(start + second) * bands + band];
      }
    }
  }
  const values = new Uint8Array(height * row);
  for (let y = 0; y < height; y++) {
    const [first, second, a, b] = down[y];
    for (let i = 0; i < row; i++) {
      const above = (a * (narrow[first * row + i] >> 4)) >> 16;
      const below = (b * (narrow[second * row + i] >> 4)) >> 16;
      values[y * row + i] = Math.min(255, (above + below + 2) >> 2);
    }
  }
  return { height, width, bands, values };
}

// A part of an image.
function cutOut(image, top, left, height, width) {
  const { bands } = image;
  const values = new Uint8Array(height * width * bands);
  for (let y = 0; y < height; y++) {
    const start = ((top + y) * image.width + left) * bands;
    values.set(image.values.subarray(start, start + width * bands), y * width * bands);
  }
  return { height, width, bands, values };
}

// At most so many rows and columns, from the middle.
function cutMiddle(image, height, width) {
  const tall = Math.min(height, image.height), wide = Math.min(width, image.width);
  const top = Math.floor((image.height - tall) / 2), left = Math.floor((image.width - wide) / 2);
  return cutOut(image, top, left, tall, wide);
}

// As classifiers see images: the shorter side fits, and the longer one is cropped.
function resizeAndCrop(image, height, width) {
  const factor = Math.max(height / image.height, width / image.width);
  const longest = 16; // of a very long image only the middle is enlarged
  const part = cutMiddle(
    image, Math.ceil((longest * height) / factor), Math.ceil((longest * width) / factor));
  const tall = Math.max(height, roundEven(part.height * factor));
  const wide = Math.max(width, roundEven(part.width * factor));
  return cutMiddle(resizeImage(part, tall, wide), height, width);
}

// A small image padded at its bottom and right by its mirror image, several times where needed.
function padSmall(image, side) {
  const height = Math.max(side, image.height), width = Math.max(side, image.width);
  if (height === image.height && width === image.width) return image;
  const mirror = (at, length) => {
    const period = Math.max(1, 2 * (length - 1));
    return Math.min(at % period, period - (at % period)) % length;
  };
  const { bands } = image;
  const values = new Uint8Array(height * width * bands);
  for (let y = 0, to = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const from = mirror(y, image.height) * image.width + mirror(x, image.width);
      for (let band = 0; band < bands; band++) values[to++] = image.values[from * bands + band];
    }
  }
  return { height, width, bands, values };
}

// (H, W, bands) -> float32 (bands, H, W).
function toPlanes(image) {
  const { bands, values } = image;
  const area = image.height * image.width;
  const planes = new Float32Array(bands * area);
  for (let i = 0; i < area; i++) {
    for (let band = 0; band < bands; band++) planes[band * area + i] = values[i * bands + band];
  }
  return planes;
}

// Starts of overlapping tiles of an axis, and their weights, which add up to 1 at every pixel.
function placeTiles(length, side, overlap) {
  const tile = Math.min(side, length);
  const shared = Math.min(roundEven(tile * overlap), Math.floor(tile / 2));
  const context = Math.floor(shared / 4);
  const count = Math.ceil((length - tile) / (tile - shared)) + 1;
  const total = new Float64Array(length);
  const tiles = [];
  for (let n = 0; n < count; n++) {
    const start = count === 1 ? 0 : roundEven(((length - tile) * n) / (count - 1));
    const weights = new Float64Array(tile).fill(1);
    for (let i = 0; i < tile; i++) {
      const fade = (at) => {
        const rise = (at + 0.5 - context) / Math.max(shared - 2 * context, 1);
        return Math.sin((Math.min(1, Math.max(0, rise)) * Math.PI) / 2) ** 2;
      };
      if (n > 0) weights[i] *= fade(i);
      if (n < count - 1) weights[i] *= fade(tile - 1 - i);
      total[start + i] += weights[i];
    }
    tiles.push({ start, weights });
  }
  for (const { start, weights } of tiles) {
    for (let i = 0; i < tile; i++) weights[i] /= total[start + i];
  }
  return tiles;
}

// For each pixel of an axis, the two logits between which it lies, and the share of the second.
function findNeighbours(from, to) {
  const neighbours = [];
  for (let i = 0; i < to; i++) {
    const center = Math.max(0, (i + 0.5) * (from / to) - 0.5);
    const first = Math.min(Math.floor(center), from - 1);
    neighbours.push([first, Math.min(first + 1, from - 1), center - first]);
  }
  return neighbours;
}

// The class with the highest logit at each pixel, (H, W) of the photo. The logits are resized
// bilinearly before.
//   logits: {values: (classes, rows, columns), rows, columns, classes}
//   seen: height and width of the image that the network saw; the rest of the logits is padding
function findClasses(logits, seen, height, width) {
  const { values, rows, columns, classes } = logits;
  const down = findNeighbours(seen.height, height);
  const across = findNeighbours(seen.width, width);
  const mask = new Uint8Array(height * width);
  const highest = new Float32Array(width);
  const line = new Float32Array(seen.width);
  for (let y = 0; y < height; y++) {
    const [above, below, share] = down[y];
    highest.fill(-Infinity);
    for (let index = 0; index < classes; index++) {
      const first = (index * rows + above) * columns, second = (index * rows + below) * columns;
      for (let x = 0; x < seen.width; x++) {
        line[x] = values[first + x] + share * (values[second + x] - values[first + x]);
      }
      for (let x = 0; x < width; x++) {
        const [left, right, part] = across[x];
        const value = line[left] + part * (line[right] - line[left]);
        if (value > highest[x]) {
          highest[x] = value;
          mask[y * width + x] = index;
        } else if (value !== value) {
          throw new Error("the network gives NaN: its weights are damaged or too large");
        }
      }
    }
  }
  return mask;
}

// Logits -> probabilities, which sum to 1.
function softmax(logits) {
  const highest = Math.max(...logits);
  const powers = Array.from(logits, (value) => Math.exp(value - highest));
  const sum = powers.reduce((total, value) => total + value, 0);
  return powers.map((value) => value / sum);
}
