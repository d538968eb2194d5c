// Runs the networks by onnxruntime-web, in one thread.
'use strict';

// Opens the runtime and the model.
//   glue: text of the runtime's module; wasm, model: bytes.
async function openNetwork({ glue, wasm, model }) {
  ort.env.logLevel = 'error';
  Object.assign(ort.env.wasm, {
    numThreads: 1,
    wasmBinary: wasm,
    wasmPaths: {
      mjs: URL.createObjectURL(new Blob([glue], { type: 'text/javascript' })),
    },
  });
  return ort.InferenceSession.create(model, { executionProviders: ['wasm'] });
}

// Returns the probabilities over symmetries, and the class activation maps of
// the image as it is: [{ size: [h, w], values: K maps }, …]. Stops with
// null when isCurrent() is false.
//   pixels: [size, size, channels], bytes.
async function predict(session, pixels, settings, isCurrent, tell) {
  const { size, channels, moves } = settings;
  const views = [];
  let maps = [];
  for (let i = 0; i < moves.length; i++) {
    tell(i / moves.length);
    await pause();
    if (!isCurrent()) return null;
    const input = new ort.Tensor('uint8',
      turn(pixels, size, channels.length, moves[i]),
      [1, size, size, channels.length]);
    const outputs = await session.run(
      { pixels: input }, i ? ['probabilities'] : session.outputNames);
    views.push(outputs.probabilities.data);
    if (!i) maps = readMaps(outputs);
  }
  return { probabilities: poolViews(views, settings), maps };
}

// Returns the mean over views; with isMax the mean over networks of each one's
// maximum over views.
//   views: the probabilities of each; with isMax those of all networks, one
//     after the other.
function poolViews(views, { classes, folds, isMax }) {
  const sums = new Float64Array(classes.length);
  if (!isMax) {
    views.forEach(view => view.forEach((each, k) => { sums[k] += each; }));
    return sums.map(each => each / views.length);
  }
  views[0].forEach((_, i) => {
    sums[i % sums.length] += Math.max(...views.map(view => view[i]));
  });
  return sums.map(each => each / folds.length);
}

// Lets the worker receive messages.
function pause() {
  return new Promise(resolve => { setTimeout(resolve); });
}

function readMaps(outputs) {
  return Object.keys(outputs).filter(name => name.startsWith('map')).sort()
    .map(name => ({
      size: outputs[name].dims.slice(2), values: outputs[name].data.slice(),
    }));
}

// Returns pixels [size, size, count] in a symmetry of the square: transposed,
// then with rows reversed, then with columns reversed.
function turn(pixels, size, count, move) {
  const [transposes, reversesRows, reversesColumns] = move;
  const found = new Uint8Array(pixels.length);
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      const row = reversesRows ? size - 1 - y : y;
      const column = reversesColumns ? size - 1 - x : x;
      const from = transposes ? column * size + row : row * size + column;
      for (let i = 0; i < count; i++) {
        found[(y * size + x) * count + i] = pixels[from * count + i];
      }
    }
  }
  return found;
}
