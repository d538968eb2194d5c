// The worker of the page: it decodes files and runs the networks, so that the
// page answers meanwhile. Each request { number, action, values } gets
// { number, value } or { number, error }.
'use strict';

let session = null;
let settings = null;
let latest = 0;  // number of the last request to classify

const ACTIONS = {
  async open(values) {
    settings = values.settings;
    const [glue, wasm, model] = await Promise.all(
      [values.glue, values.wasm, values.model].map(unpackText));
    session = await openNetwork(
      { glue: new TextDecoder().decode(glue), wasm, model });
  },

  read({ file }) {
    return decode(file);
  },

  stop(_, number) {
    latest = number;
  },

  // Classifies an image: the planes of each channel's file, of one size.
  async classify({ images }, number) {
    latest = number;
    const { size, channels, filter } = settings;
    const pixels = new Uint8Array(size * size * channels.length);
    images.forEach(({ width, height, planes }, i) => {
      const plane = extractPlane(planes, channels[i]);
      resize(plane, width, height, size, filter).forEach((each, place) => {
        pixels[place * channels.length + i] = each;
      });
    });
    const found = await predict(session, pixels, settings,
      () => latest === number, progress => postMessage({ progress, number }));
    return found && { ...found, pixels };
  },
};

// Returns the bytes of gzip in base64.
function unpackText(text) {
  const packed = atob(text);
  const bytes = new Uint8Array(packed.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = packed.charCodeAt(i);
  return unpack([bytes], 'gzip');
}

async function answer({ data: { number, action, values } }) {
  try {
    postMessage({ number, value: await ACTIONS[action](values, number) });
  } catch (error) {
    postMessage({ number, error: error.message });
  }
}

onmessage = answer;
