// Decodes JPEGs by the browser, without conversion of colors.
// Source: ITU-T T.81, B.1 and B.2 (markers).
'use strict';

// Returns the planes of a JPEG; throws WrongFile.
async function decodeJpeg(bytes) {
  const end = bytes.subarray(-2);
  if (end[0] !== 0xff || end[1] !== 0xd9) {
    throw new WrongFile('a JPEG that is truncated or has data after its end');
  }
  const { width, height, samples } = readFrame(bytes);
  let bitmap;
  try {
    bitmap = await createImageBitmap(
      new Blob([bytes], { type: 'image/jpeg' }), {
        colorSpaceConversion: 'none', premultiplyAlpha: 'none',
        imageOrientation: 'none',
      });
  } catch {
    throw new WrongFile('a damaged JPEG');
  }
  const context = new OffscreenCanvas(width, height).getContext('2d');
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const { data } = context.getImageData(0, 0, width, height);
  const planes = Array.from({ length: samples }, (_, i) =>
    Uint8Array.from({ length: width * height }, (_, j) => data[4 * j + i]));
  return { width, height, planes };
}

function readFrame(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let frame = null;
  let place = 2;
  while (place + 10 <= bytes.length && bytes[place] === 0xff) {
    const marker = bytes[place + 1];
    if (marker === 0xda) break;
    if (marker === 0xff) { place++; continue; }
    const length = view.getUint16(place + 2);
    const content = bytes.subarray(place + 4, place + 2 + length);
    if (marker === 0xe1) checkExif(content);
    if (isFrame(marker)) {
      frame = {
        marker, depth: content[0], height: view.getUint16(place + 5),
        width: view.getUint16(place + 7), samples: content[5],
      };
    }
    place += 2 + length;
  }
  if (!frame) throw new WrongFile('a JPEG without a frame header');
  const { marker, depth, samples } = frame;
  if (marker > 0xc2 || depth !== 8 || ![1, 3].includes(samples)) {
    throw new WrongFile(`a JPEG of ${samples} samples of ${depth} bits`,
      'save it as 8-bit gray');
  }
  checkSize(frame.width, frame.height);
  return frame;
}

function isFrame(marker) {
  return marker >= 0xc0 && marker <= 0xcf &&
    ![0xc4, 0xc8, 0xcc].includes(marker);
}

function checkExif(content) {
  const text = String.fromCharCode(...content.subarray(0, 6));
  if (text === 'Exif\0\0') checkOrientation(content.subarray(6));
}
