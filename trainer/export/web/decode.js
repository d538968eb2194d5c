// One image file → its planes, as the converter reads it
// (hpa_records/images/decode.py, header.py, pseudocolor.py).
'use strict';

const MOST_PIXELS = 2 ** 26;
const MOST_BYTES = 2 ** 28;
const EXIF_ORIENTATION = 0x112;
const KINDS = [
  ['\x89PNG\r\n\x1a\n', 'a PNG'], ['\xff\xd8\xff', 'a JPEG'],
  ['II*\0', 'a TIFF'], ['MM\0*', 'a TIFF'], ['II+\0', 'a TIFF'],
  ['MM\0+', 'a TIFF'], ['GIF8', 'a GIF'], ['BM', 'a BMP'],
  ['RIFF', 'a WebP'], ['\0\0\0\x0cjP', 'a JPEG 2000'], ['%PDF', 'a PDF'],
  ['PK\x03\x04', 'a ZIP archive'], ['\x1f\x8b', 'a gzip file'],
  ['ZISRAWFILE', 'a CZI of Zeiss'],
];

// What is wrong with a file, and what to do.
class WrongFile extends Error {
  constructor(received, advice = '') {
    super(`Expected an 8-bit PNG or JPEG, received ${received}` +
      `${advice && `; ${advice}`}.`);
  }
}

// Returns the width, the height and the planes (1 of gray, 3 of RGB, 4 of RGBA)
// of a File; throws WrongFile.
async function decode(file) {
  if (file.size > MOST_BYTES) {
    throw new WrongFile(`a file of ${Math.round(file.size / 1e6)} MB`);
  }
  let bytes;
  try {
    bytes = new Uint8Array(await file.arrayBuffer());
  } catch {
    throw new WrongFile('a folder, or a file that cannot be read');
  }
  const kind = findKind(bytes);
  if (kind === 'a PNG') return decodePng(bytes);
  if (kind === 'a JPEG') return decodeJpeg(bytes);
  throw new WrongFile(kind);
}

function findKind(bytes) {
  if (!bytes.length) return 'an empty file';
  const head = String.fromCharCode(...bytes.subarray(0, 64));
  const found = KINDS.find(([start]) => head.startsWith(start));
  if (found) return found[1];
  if (/^(\xef\xbb\xbf)?\s*<(!doctype html|html|head)/i.test(head)) {
    return 'a web page';
  }
  return 'a file that is no image';
}

function checkSize(width, height) {
  if (!width || !height || width * height > MOST_PIXELS) {
    throw new WrongFile(`${width} × ${height} pixels`);
  }
}

// Viewers apply the orientation, the converter does not.
// Source: Exif 2.32 (CIPA), 4.6.2 and 4.6.4.
function checkOrientation(exif) {
  const view = new DataView(exif.buffer, exif.byteOffset, exif.length);
  const little = exif[0] === 0x49;
  try {
    const start = view.getUint32(4, little);
    const count = view.getUint16(start, little);
    for (let i = 0; i < count; i++) {
      const entry = start + 2 + 12 * i;
      const value = view.getUint16(entry + 8, little);
      if (view.getUint16(entry, little) === EXIF_ORIENTATION && value > 1) {
        throw new WrongFile(`a rotated or mirrored one (Exif ${value})`,
          'save it upright');
      }
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;  // damaged: viewers ignore
  }
}

// Returns the inflated bytes of parts; format as of DecompressionStream.
async function unpack(parts, format) {
  const stream = new Blob(parts).stream()
    .pipeThrough(new DecompressionStream(format));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// Returns the plane of a channel in a file of its own, which is gray or tinted
// in the channel's color.
function extractPlane(planes, { name, color }) {
  if (planes.length === 1) return planes[0];
  if (planes.length !== 3) {
    throw new Error(`Expected a gray file for ${name}, received RGBA.`);
  }
  const [red, green, blue] = planes;
  if (red.every((each, i) => each === green[i] && each === blue[i])) return red;
  const isBright = [1, 3, 5].map(i =>
    parseInt(color.slice(i, i + 2), 16) > 127);
  const bright = planes.filter((_, i) => isBright[i]);
  const dark = planes.filter((_, i) => !isBright[i]);
  const { plane, stray } = separate(bright, dark);
  const add = (sum, each) => sum + each;
  if (!plane ||
      2 * stray.reduce(add, 0) > plane.reduce(add, 0) + plane.length) {
    throw new Error(
      `Expected a gray or ${name}-tinted file for ${name}, received other ` +
      'colors.');
  }
  return plane;
}

// Returns the intensity of a tint, and what does not belong to it.
function separate(bright, dark) {
  if (bright.length === 1) {
    const [first, second] = dark;
    return {
      plane: bright[0],
      stray: first.map((each, i) => Math.max(each, second[i])),
    };
  }
  if (bright.length !== 2) return {};
  const [first, second] = bright;
  return {
    plane: first.map((each, i) => (each + second[i] + 1) >> 1),
    stray: first.map((each, i) =>
      Math.max(Math.abs(each - second[i]), dark[0][i])),
  };
}
