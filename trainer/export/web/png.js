// Decodes 8-bit PNGs to the exact bytes. A canvas would convert colors and
// multiply them by alpha.
// Source: PNG specification (W3C), 5 (chunks), 9 (filters).
'use strict';

const PNG_COLORS = { 0: 1, 2: 3, 6: 4 };
const PNG_NAMES = {
  0: 'gray', 2: 'RGB', 3: 'palette', 4: 'gray with alpha', 6: 'RGBA',
};

// Returns the planes of a PNG; throws WrongFile.
async function decodePng(bytes) {
  const chunks = walkChunks(bytes);
  const [width, height, samples] = readHeader(bytes, chunks);
  const packed = chunks.filter(each => each.kind === 'IDAT')
    .map(each => each.content);
  let rows;
  try {
    rows = await unpack(packed, 'deflate');
  } catch {
    throw new WrongFile('a damaged PNG');
  }
  const length = width * samples;
  if (rows.length !== height * (length + 1)) {
    throw new WrongFile('a damaged PNG');
  }
  unfilter(rows, length, height, samples);
  return { width, height, planes: splitRows(rows, width, height, samples) };
}

function walkChunks(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const chunks = [];
  let place = 8;
  while (place + 12 <= bytes.length) {
    const length = view.getUint32(place);
    const kind = String.fromCharCode(...bytes.subarray(place + 4, place + 8));
    const end = place + 12 + length;
    if (end > bytes.length) break;
    chunks.push({ kind, content: bytes.subarray(place + 8, end - 4) });
    place = end;
    if (kind === 'IEND') break;
  }
  const last = chunks.length ? chunks[chunks.length - 1].kind : '';
  if (last !== 'IEND' || chunks[0].kind !== 'IHDR') {
    throw new WrongFile('a truncated PNG');
  }
  if (place < bytes.length) {
    throw new WrongFile('a PNG with other data after its end');
  }
  return chunks;
}

function readHeader(bytes, chunks) {
  const view = new DataView(bytes.buffer, bytes.byteOffset + 16, 13);
  const [width, height] = [view.getUint32(0), view.getUint32(4)];
  const [depth, color] = [view.getUint8(8), view.getUint8(9)];
  if (!(color in PNG_COLORS) || depth !== 8) {
    throw new WrongFile(`a PNG of ${depth}-bit ${PNG_NAMES[color] || 'pixels'}`,
      'save it as 8-bit gray');
  }
  if (view.getUint8(12)) {
    throw new WrongFile('an interlaced PNG', 'save it without interlacing');
  }
  if (chunks.some(each => each.kind === 'acTL')) {
    throw new WrongFile('an animated PNG');
  }
  checkSize(width, height);
  for (const each of chunks) {
    if (each.kind === 'eXIf') checkOrientation(each.content);
  }
  return [width, height, PNG_COLORS[color]];
}

// Replaces the filtered bytes of rows by those of pixels. Each row has the
// number of its filter first.
function unfilter(rows, length, height, samples) {
  for (let y = 0; y < height; y++) {
    const start = y * (length + 1) + 1;
    const filter = rows[start - 1];
    if (filter > 4) throw new WrongFile('a damaged PNG');
    for (let i = filter ? 0 : length; i < length; i++) {
      const left = i < samples ? 0 : rows[start + i - samples];
      const up = y ? rows[start + i - length - 1] : 0;
      const corner = y && i >= samples ?
        rows[start + i - length - 1 - samples] : 0;
      rows[start + i] += predictByte(filter, left, up, corner);
    }
  }
}

function predictByte(filter, left, up, corner) {
  if (filter === 1) return left;
  if (filter === 2) return up;
  if (filter === 3) return (left + up) >> 1;
  const [ofLeft, ofUp] = [Math.abs(up - corner), Math.abs(left - corner)];
  const ofCorner = Math.abs(left + up - 2 * corner);
  if (ofLeft <= ofUp && ofLeft <= ofCorner) return left;
  return ofUp <= ofCorner ? up : corner;
}

function splitRows(rows, width, height, samples) {
  return Array.from({ length: samples }, (_, sample) => {
    const plane = new Uint8Array(width * height);
    for (let y = 0; y < height; y++) {
      const start = y * (width * samples + 1) + 1 + sample;
      for (let x = 0; x < width; x++) {
        plane[y * width + x] = rows[start + x * samples];
      }
    }
    return plane;
  });
}
