// The page: files in, results out.
'use strict';

class Page {
  constructor(settings) {
    this.settings = settings;
    this.results = new Results(settings);
    this.files = [];  // { name, match, width, height, planes }
    this.chosen = [];  // of these one for each channel, or one with all
    this.isDone = false;  // whether the chosen ones were classified
    this.listen();
  }

  listen() {
    byId('files').addEventListener('change', ({ target }) => {
      this.add([...target.files]);
      target.value = '';
    });
    byId('clear').addEventListener('click', () => {
      this.clear();
      this.tell('Ready.');
      byId('files').focus();
    });
    const drop = document.querySelector('.drop');
    for (const kind of ['dragenter', 'dragover', 'dragleave', 'drop']) {
      document.addEventListener(kind, event => {
        event.preventDefault();
        drop.classList.toggle('over', kind.startsWith('drag') &&
          kind !== 'dragleave');
        if (kind === 'drop') this.add([...event.dataTransfer.files]);
      });
    }
    for (const each of document.querySelectorAll('[data-color]')) {
      each.style.background = each.dataset.color;
    }
  }

  // Unpacks the runtime, starts the worker and has it load the networks.
  async start() {
    const read = id => byId(id).textContent;
    const packed = Uint8Array.from(atob(read('runtime')),
      each => each.charCodeAt(0));
    const stream = new Blob([packed]).stream()
      .pipeThrough(new DecompressionStream('gzip'));
    const source = `${await new Response(stream).text()}\n${read('worker')}`;
    this.engine = new Engine(source, part => this.showProgress(part));
    await this.engine.request('open', {
      settings: this.settings, glue: read('glue'), wasm: read('wasm'),
      model: read('model'),
    });
    this.tell('Ready.');
  }

  tell(text) {
    byId('status').textContent = text;
    byId('progress').hidden = true;
  }

  showProgress(part) {
    const progress = byId('progress');
    if (progress.hidden) this.tell('Computing…');  // said once
    progress.hidden = false;
    progress.value = part;
  }

  complain(lines) {
    byId('problems').replaceChildren(
      ...lines.map(each => make('li', {}, [each])));
  }

  clear() {
    this.files = [];
    this.chosen = [];
    this.isDone = false;
    this.complain([]);
    this.results.hide();
    this.showRows();
  }

  // Takes further files, or those of the next image.
  async add(files) {
    if (!files.length) return;
    await this.ready;
    this.tell(`Reading ${files.length === 1 ? 'the file' :
      `${files.length} files`}…`);
    const { channels } = this.settings;
    const [added, lines] = [[], []];
    for (const file of files) {
      const { name } = file;
      try {
        const found = await this.engine.request('read', { file });
        added.push({ ...found, name, match: matchName(name, channels) });
      } catch (error) {
        lines.push(`${name}: ${error.message}`);
      }
    }
    if (this.isDone || !assign(added, channels).chosen.includes(null)) {
      this.clear();
    }
    const names = added.map(each => each.name);
    this.files = this.files.filter(each => !names.includes(each.name))
      .concat(added);
    this.assign(lines);
  }

  assign(lines) {
    const { channels } = this.settings;
    const [first] = this.files;
    if (this.files.length === 1 && this.isWhole(first)) {
      this.chosen = [first];
    } else {
      const found = assign(this.files, channels);
      this.chosen = found.chosen;
      lines.push(...found.lines);
    }
    this.showRows();
    this.check(lines);
  }

  // Whether a file has the planes of all channels.
  isWhole({ match, planes }) {
    const { stacked, channels } = this.settings;
    if (channels.length === 1) return true;
    const isNamed = match && !this.settings.isStacked;
    if (!stacked || isNamed) return false;
    return this.settings.isExact ? planes.length === channels.length :
      planes.length > Math.max(...stacked);
  }

  showRows() {
    byId('clear').hidden = !this.files.length;
    const { channels } = this.settings;
    let rows = [];
    if (this.files.length && this.chosen.length < channels.length) {
      rows = [`${this.chosen[0].name} has all channels.`];
    } else if (this.files.length) {
      rows = channels.map((channel, i) => this.makeRow(channel, i));
    }
    byId('rows').replaceChildren(...rows);
  }

  makeRow({ name, color }, i) {
    const swatch = make('span', { class: 'swatch' });
    swatch.style.background = color;
    const options = this.files.map((each, j) =>
      make('option', { value: j }, [each.name]));
    const select = make('select', { id: `file${i}` },
      [make('option', { value: '' }, ['choose its file']), ...options]);
    select.value = this.chosen[i] ? this.files.indexOf(this.chosen[i]) : '';
    select.addEventListener('change', () => {
      this.chosen[i] = this.files[select.value] || null;
      this.check([]);
    });
    return make('div', { class: 'row' }, [
      make('label', { for: select.id }, [swatch, name]), select]);
  }

  // Classifies what is chosen, or says why it cannot.
  check(lines) {
    lines.push(...this.findProblems());
    this.complain(lines);
    if (this.chosen.includes(null) || this.hasTwoSizes()) {
      this.results.hide();
      this.tell(this.files.length ? 'Waiting for files.' : 'Ready.');
    } else {
      this.classify();
    }
  }

  findProblems() {
    if (!this.files.length) return [];
    const { channels } = this.settings;
    const missing = channels.filter((_, i) => this.chosen[i] === null);
    const unused = this.files.filter(each => !this.chosen.includes(each));
    const lines = [];
    if (missing.length) {
      lines.push(`Expected ${channels.length} files, one for each channel, ` +
        `received ${this.files.length}; ` +
        `${missing.map(each => each.name).join(', ')} ` +
        `${missing.length === 1 ? 'has' : 'have'} none yet.`);
    } else if (unused.length) {
      lines.push(`Not used: ${unused.map(each => each.name).join(', ')}.`);
    }
    if (this.hasTwoSizes()) {
      lines.push('Expected files of one size, received ' + this.chosen
        .filter(each => each)
        .map(each => `${each.name} of ${each.width} × ${each.height}`)
        .join(', ') + ' pixels.');
    }
    return lines;
  }

  hasTwoSizes() {
    const sizes = this.chosen.filter(each => each)
      .map(each => `${each.width} ${each.height}`);
    return new Set(sizes).size > 1;
  }

  async classify() {
    this.isDone = true;
    const { stacked, channels } = this.settings;
    const [{ planes }] = this.chosen;
    const images = this.chosen.length === channels.length ? this.chosen :
      stacked.map(i => ({ ...this.chosen[0], planes: [planes[i]] }));
    this.showProgress(0);
    try {
      const found = await this.engine.request('classify', { images });
      if (found) this.tell(this.results.show(found));
    } catch (error) {
      this.results.hide();
      this.complain([error.message]);
      this.tell('Ready.');
    }
  }
}

const page = new Page(JSON.parse(byId('settings').textContent));
page.ready = page.start();
page.ready.catch(error => page.complain(
  [`This browser cannot run the networks (${error.message}); update it.`]));
