// A mask as a PNG file with the colors of the classes as its palette, as `tiramisu predict` writes.
"use strict";

const crcTable = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});

function pngChunk(name, content) {
  const chunk = new Uint8Array(content.length + 12);
  const view = new DataView(chunk.buffer);
  view.setUint32(0, content.length);
  chunk.set([...name].map((letter) => letter.charCodeAt(0)), 4);
  chunk.set(content, 8);
  let crc = 0xffffffff;
  for (const byte of chunk.subarray(4, -4)) crc = crcTable[(crc ^ byte) & 255] ^ (crc >>> 8);
  view.setUint32(content.length + 8, crc ^ 0xffffffff);
  return chunk;
}

// mask: class ids (H, W), uint8; colors: [red, green, blue] of each class.
async function encodeMask(mask, height, width, colors) {
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header.set([8, 3, 0, 0, 0], 8); // 8 bits, palette
  const lines = new Uint8Array(height * (width + 1)); // a 0, for no filter, before each line
  for (let y = 0; y < height; y++) {
    lines.set(mask.subarray(y * width, (y + 1) * width), y * (width + 1) + 1);
  }
  const packed = new Blob([lines]).stream().pipeThrough(new CompressionStream("deflate"));
  const content = new Uint8Array(await new Response(packed).arrayBuffer());
  const signature = new Uint8Array([137, 80, 78, 71, 13, 10, 26, 10]);
  const palette = pngChunk("PLTE", Uint8Array.from(colors.flat()));
  const parts = [signature, pngChunk("IHDR", header), palette, pngChunk("IDAT", content)];
  return new Blob([...parts, pngChunk("IEND", new Uint8Array())], { type: "image/png" });
}
