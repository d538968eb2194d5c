// What the networks said, and the pictures of the image.
'use strict';

const FIRST = 40;  // classes that are shown without a click

const byId = id => document.getElementById(id);

// Returns an element with attributes, and children: elements or texts.
function make(tag, attributes = {}, children = []) {
  const found = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    found.setAttribute(name, value);
  }
  found.append(...children);
  return found;
}

class Results {
  constructor(settings) {
    this.settings = settings;
    byId('list').addEventListener('change', event => {
      this.showMaps(Number(event.target.value));
    });
    byId('all').addEventListener('click', () => this.listAll());
  }

  hide() {
    byId('results').hidden = true;
  }

  // Shows a reply of the worker to classify; returns what to say of it.
  show(found) {
    this.found = found;
    this.rgb = mix(found.pixels, this.settings.channels,
      this.settings.channels.map((_, i) => i));
    const predicted = this.decide(found.probabilities);
    const order = this.settings.classes.map((_, k) => k).sort((a, b) =>
      predicted[b] - predicted[a] ||
      found.probabilities[b] - found.probabilities[a]);
    this.list(order, predicted);
    this.showPictures();
    this.showMaps(order[0]);
    byId('results').hidden = false;
    const names = order.filter(k => predicted[k])
      .map(k => this.settings.classes[k]);
    return `Predicted: ${names.join(', ') || 'no class'}.`;
  }

  // Returns which classes are predicted; thresholds is null where it is the
  // most probable one.
  decide(probabilities) {
    const { thresholds } = this.settings;
    if (thresholds) return probabilities.map((p, k) => p > thresholds[k]);
    const best = probabilities.indexOf(Math.max(...probabilities));
    return probabilities.map((_, k) => k === best);
  }

  list(order, predicted) {
    const rest = order.filter(k => !predicted[k]);
    byId('list').replaceChildren(this.makeHeads(),
      ...this.makeGroup('Predicted', order.filter(k => predicted[k]), true),
      ...this.makeGroup('Not predicted', rest.slice(0, FIRST), false));
    this.rest = rest.slice(FIRST);
    byId('all').hidden = !this.rest.length;
    byId('list').querySelector('input').checked = true;
  }

  makeHeads() {
    const heads = [make('span', { class: 'value' }, ['probability'])];
    if (this.settings.thresholds) {
      heads.push(make('span', { class: 'cut' }, ['threshold']));
    }
    return make('div', { class: 'class heads', 'aria-hidden': true }, heads);
  }

  listAll() {
    const lists = byId('list').querySelectorAll('ul');
    const added = this.rest.map(k => this.makeRow(k, false));
    lists[lists.length - 1].append(...added);
    byId('all').hidden = true;
    added[0].querySelector('input').focus();
  }

  makeGroup(title, numbers, isPredicted) {
    if (!numbers.length) return [];
    return [
      make('h3', {}, [title]),
      make('ul', {}, numbers.map(k => this.makeRow(k, isPredicted))),
    ];
  }

  makeRow(k, isPredicted) {
    const probability = this.found.probabilities[k];
    const fill = make('span', { class: 'fill' });
    fill.style.width = `${100 * probability}%`;
    const bar = make('span', { class: 'bar', 'aria-hidden': true }, [fill]);
    const parts = [
      make('input', { type: 'radio', name: 'class', value: k }),
      make('span', { class: 'name' }, [this.settings.classes[k]]),
      bar,
      make('span', { class: 'value' }, [
        make('span', { class: 'unseen' }, ['probability ']),
        probability.toFixed(3)]),
    ];
    if (this.settings.thresholds) {
      const cut = Math.max(0, this.settings.thresholds[k]);
      const mark = make('span', { class: 'mark' });
      mark.style.left = `${100 * cut}%`;
      bar.append(mark);
      parts.push(make('span', { class: 'cut' }, [
        make('span', { class: 'unseen' }, ['threshold ']),
        cut.toFixed(3)]));
    }
    const kind = isPredicted ? 'class predicted' : 'class';
    return make('li', {}, [make('label', { class: kind }, parts)]);
  }

  showPictures() {
    const { channels, size } = this.settings;
    const parts = channels.map(({ name, stain }, i) => this.makePicture(
      mix(this.found.pixels, channels, [i]), size,
      stain ? `${name}: ${stain}` : name));
    if (channels.length > 1) {
      parts.unshift(this.makePicture(this.rgb, size,
        'All channels, each in its color'));
    }
    byId('pictures').replaceChildren(...parts);
  }

  showMaps(k) {
    byId('maps-title').textContent =
      `Where the network looked for: ${this.settings.classes[k]}`;
    const { size } = this.settings;
    byId('maps').replaceChildren(...this.found.maps.map((map, i) => {
      const [height, width] = map.size;
      const start = k * height * width;
      const values = map.values.subarray(start, start + height * width);
      const rgb = heat(this.rgb, size, { size: map.size, values });
      return this.makePicture(rgb, size,
        `Map ${i + 1}: ${height} × ${width}`);
    }));
  }

  makePicture(rgb, size, caption) {
    const canvas = make('canvas', { role: 'img', 'aria-label': caption });
    draw(canvas, rgb, size);
    return make('figure', {}, [canvas, make('figcaption', {}, [caption])]);
  }
}
