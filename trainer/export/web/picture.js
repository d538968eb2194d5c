// Pixels to pictures, as in the report (trainer/report/tile.py).
'use strict';

const OPACITY = 0.75;  // of the heat map at its maximum
const DIMMED = 0.7;  // of the gray image below it

// Returns RGB [size * size * 3], the sum of the channels' colors.
//   pixels: [size, size, channels]; shown: indices of channels.
function mix(pixels, channels, shown) {
  const colors = channels.map(({ color }) =>
    [1, 3, 5].map(i => parseInt(color.slice(i, i + 2), 16) / 255));
  const count = pixels.length / channels.length;
  const found = new Uint8ClampedArray(3 * count);
  for (let place = 0; place < count; place++) {
    for (let i = 0; i < 3; i++) {
      let sum = 0;
      for (const channel of shown) {
        sum += pixels[place * channels.length + channel] * colors[channel][i];
      }
      found[3 * place + i] = sum;
    }
  }
  return found;
}

// Returns the gray image under a heat map: red at half of the map's maximum,
// yellow at its maximum.
//   map: { size: [h, w], values: [h * w] }, >= 0.
function heat(rgb, size, { size: [height, width], values }) {
  const peak = values.reduce((a, b) => Math.max(a, b), 0) || 1;
  const found = new Uint8ClampedArray(rgb.length);
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      const place = 3 * (y * size + x);
      const warmth = interpolate(values, height, width,
        (y + 0.5) / size * height - 0.5, (x + 0.5) / size * width - 0.5) / peak;
      const gray = DIMMED * (0.299 * rgb[place] + 0.587 * rgb[place + 1] +
        0.114 * rgb[place + 2]);
      const color = [Math.min(2 * warmth, 1), Math.max(2 * warmth - 1, 0), 0];
      color.forEach((each, i) => {
        found[place + i] = (1 - OPACITY * warmth) * gray +
          OPACITY * warmth * 255 * each;
      });
    }
  }
  return found;
}

function interpolate(values, height, width, y, x) {
  const [top, restY] = split(y, height);
  const [left, restX] = split(x, width);
  const below = Math.min(top + 1, height - 1);
  const right = Math.min(left + 1, width - 1);
  const blend = row => values[row * width + left] * (1 - restX) +
    values[row * width + right] * restX;
  return blend(top) * (1 - restY) + blend(below) * restY;
}

function split(place, length) {
  const inside = Math.min(Math.max(place, 0), length - 1);
  return [Math.floor(inside), inside - Math.floor(inside)];
}

function draw(canvas, rgb, size) {
  canvas.width = canvas.height = size;
  const image = new ImageData(size, size);
  for (let place = 0; place < size * size; place++) {
    for (let i = 0; i < 3; i++) image.data[4 * place + i] = rgb[3 * place + i];
    image.data[4 * place + 3] = 255;
  }
  canvas.getContext('2d').putImageData(image, 0, 0);
}
