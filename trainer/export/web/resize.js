// Resizes planes to a square as the converter does: triangle to the same
// bytes, area within one gray level (hpa_records/images/resize.py).
'use strict';

// Returns a plane at size x size.
function resize(pixels, width, height, size, filter) {
  if (width === size && height === size) return pixels;
  const reduces = size <= Math.min(width, height);
  return filter === 'area' && reduces ?
    resizeArea(pixels, width, height, size) :
    resizeTriangle(pixels, width, height, size);
}

// In integers, rounded once an axis, columns first.
function resizeTriangle(pixels, width, height, size) {
  const shrink = (plane, length, count) => {
    if (length === size) return plane;
    const taps = weighTriangle(length, size);
    const bits = quantize(taps);
    const half = 2 ** (bits - 1);
    return Uint8ClampedArray.from(sumRows(plane, length, count, taps),
      sum => (sum + half) >> bits);
  };
  const columns = shrink(transpose(pixels, width, height), height, width);
  return shrink(transpose(columns, size, width), width, size);
}

// The mean over the source area of each output pixel, rounded once.
function resizeArea(pixels, width, height, size) {
  const columns = sumRows(transpose(pixels, width, height), height, width,
    weighArea(height, size));
  return Uint8ClampedArray.from(sumRows(
    transpose(columns, size, width), width, size, weighArea(width, size)));
}

// Returns the first source pixel and the weights of each output pixel along an
// axis. An enlarged axis is interpolated linearly.
// Source: Pillow's precompute_coeffs (Resample.c).
function weighTriangle(from, to) {
  const scale = from / to;
  const radius = Math.max(scale, 1);
  return Array.from({ length: to }, (_, i) => {
    const center = (i + 0.5) * scale;
    const start = Math.max(0, Math.floor(center - radius));
    const end = Math.min(from, Math.ceil(center + radius));
    return normalize(start, end,
      x => Math.max(0, 1 - Math.abs(x + 0.5 - center) / radius));
  });
}

function weighArea(from, to) {
  const scale = from / to;
  return Array.from({ length: to }, (_, i) => {
    const [low, high] = [i * scale, (i + 1) * scale];
    return normalize(Math.floor(low), Math.min(from, Math.ceil(high)),
      x => Math.max(0, Math.min(x + 1, high) - Math.max(x, low)));
  });
}

function normalize(start, end, weigh) {
  const weights = [];
  for (let x = start; x < end; x++) weights.push(weigh(x));
  const sum = weights.reduce((a, b) => a + b);
  return { start, weights: weights.map(each => each / sum) };
}

// Makes weights integers of 16 bits, and returns by how many bits their sums
// are shifted back.
// Source: Normalizer16 of the crate fast_image_resize, which cykooz_resizer is.
function quantize(taps) {
  const most = Math.max(...taps.map(each => Math.max(...each.weights)));
  let bits = 0;
  while (bits < 22 && Math.round(most * 2 ** (bits + 1)) < 2 ** 15) bits++;
  for (const each of taps) {
    each.weights = each.weights.map(weight => Math.round(weight * 2 ** bits));
  }
  return bits;
}

// Returns the weighted sums along each row of [count, length], [count, taps].
function sumRows(plane, length, count, taps) {
  const found = new Float64Array(count * taps.length);
  taps.forEach(({ start, weights }, i) => {
    for (let row = 0; row < count; row++) {
      const first = row * length + start;
      let sum = 0;
      for (let j = 0; j < weights.length; j++) {
        sum += weights[j] * plane[first + j];
      }
      found[row * taps.length + i] = sum;
    }
  });
  return found;
}

// Returns the transpose of [height, width], of the same type.
function transpose(plane, width, height) {
  const found = new plane.constructor(plane.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      found[x * height + y] = plane[y * width + x];
    }
  }
  return found;
}
