// Unpacks the parts of the page: LZMA with the settings of `_pack` in Python (lc=3, lp=0, pb=0),
// which makes them a third smaller than gzip, the best that browsers unpack by themselves.
"use strict";

// Letters of base64 -> bytes.
function readLetters(text) {
  const letters = atob(text);
  const bytes = new Uint8Array(letters.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = letters.charCodeAt(i);
  return bytes;
}

// A reader of bits that were written with less than one bit where they could be foreseen. `odds`
// are the chances of a 0 in 1/2048, which follow the bits that are read.
function makeReader(packed) {
  let at = 1; // the first byte is always 0
  // The range and the code: variables of 32 bits are slow, the items of an array are not.
  const coder = Uint32Array.of(0xffffffff, 0);
  for (let i = 0; i < 4; i++) coder[1] = (coder[1] << 8) | packed[at++];

  function refill() {
    if (coder[0] >= 0x1000000) return;
    coder[0] <<= 8;
    coder[1] = (coder[1] << 8) | packed[at++];
  }
  function bit(odds, index) {
    refill();
    const chance = odds[index];
    const bound = (coder[0] >>> 11) * chance;
    if (coder[1] < bound) {
      coder[0] = bound;
      odds[index] = chance + ((2048 - chance) >> 5);
      return 0;
    }
    coder[0] -= bound;
    coder[1] -= bound;
    odds[index] = chance - (chance >> 5);
    return 1;
  }
  // A number of `count` bits, the highest first; `start` is where its odds begin.
  function number(odds, start, count) {
    let node = 1;
    for (let i = 0; i < count; i++) node = (node << 1) | bit(odds, start + node);
    return node - (1 << count);
  }
  // The same, the lowest bit first.
  function numberFromLowest(odds, start, count) {
    let node = 1, value = 0;
    for (let i = 0; i < count; i++) {
      const next = bit(odds, start + node);
      node = (node << 1) | next;
      value |= next << i;
    }
    return value;
  }
  // The same, of bits that nobody can foresee.
  function evenNumber(count) {
    let value = 0;
    for (let i = 0; i < count; i++) {
      refill();
      coder[0] >>>= 1;
      const next = coder[1] >= coder[0] ? 1 : 0;
      if (next) coder[1] -= coder[0];
      value = (value << 1) | next;
    }
    return value;
  }
  return { bit, number, numberFromLowest, evenNumber };
}

// Packed bytes -> `size` bytes. `tell` hears now and then how many are done.
function unpack(packed, size, tell = () => {}) {
  const { bit, number, numberFromLowest, evenNumber } = makeReader(packed);
  const makeOdds = (count) => new Uint16Array(count).fill(1024);
  // By state, which says what the last steps were: 0 to 6 end with a single byte.
  const isCopy = makeOdds(12), isOldDistance = makeOdds(12), isNotLast = makeOdds(12);
  const isLong = makeOdds(12), isNotSecond = makeOdds(12), isNotThird = makeOdds(12);
  const single = makeOdds(8 * 0x300);
  const slots = makeOdds(4 * 64), middle = makeOdds(128), lowest = makeOdds(16);
  const newLength = makeOdds(2 + 8 + 8 + 256), oldLength = makeOdds(2 + 8 + 8 + 256);

  function readLength(odds) {
    if (!bit(odds, 0)) return 2 + number(odds, 1, 3);
    if (!bit(odds, 9)) return 10 + number(odds, 9, 3);
    return 18 + number(odds, 17, 8);
  }
  function readDistance(length) {
    const slot = number(slots, 64 * Math.min(length - 2, 3), 6);
    if (slot < 4) return slot + 1;
    const count = (slot >> 1) - 1;
    const start = (2 | (slot & 1)) << count;
    if (slot < 14) return start + numberFromLowest(middle, start - slot, count) + 1;
    return start + (evenNumber(count - 4) << 4) + numberFromLowest(lowest, 0, 4) + 1;
  }

  const bytes = new Uint8Array(size);
  const distances = [1, 1, 1, 1]; // the last ones, the newest first
  let state = 0;
  for (let done = 0, told = 0; done < size; ) {
    if (done - told > 1 << 18) tell((told = done));
    if (!bit(isCopy, state)) {
      const start = 0x300 * (done ? bytes[done - 1] >> 5 : 0);
      let node = 1;
      // After a copy, the byte that would have gone on with it tells what this one is not.
      if (state > 6) {
        for (let hint = bytes[done - distances[0]], same = true; same && node < 256; hint <<= 1) {
          const expected = (hint >> 7) & 1;
          const next = bit(single, start + 256 * (1 + expected) + node);
          node = (node << 1) | next;
          same = next === expected;
        }
      }
      while (node < 256) node = (node << 1) | bit(single, start + node);
      bytes[done++] = node;
      state = state < 4 ? 0 : state < 10 ? state - 3 : state - 6;
      continue;
    }
    const wasSingle = state < 7;
    let length = 1;
    if (!bit(isOldDistance, state)) {
      length = readLength(newLength);
      distances.pop();
      distances.unshift(readDistance(length));
      state = wasSingle ? 7 : 10;
    } else {
      let which = bit(isNotLast, state); // of `distances`
      if (which) which += bit(isNotSecond, state);
      if (which > 1) which += bit(isNotThird, state);
      distances.unshift(...distances.splice(which, 1));
      if (which > 0 || bit(isLong, state)) {
        length = readLength(oldLength);
        state = wasSingle ? 8 : 11;
      } else {
        state = wasSingle ? 9 : 11;
      }
    }
    for (let i = 0; i < length; i++, done++) bytes[done] = bytes[done - distances[0]];
  }
  return bytes;
}
